import { expect, test } from "vitest";
import { differentiate } from "../../src/graph/differentiate.ts";
import type { ValuesOf } from "../../src/graph/values.ts";
import { type Case, cases } from "../support/cases.ts";
import { type Errors, errorsOf, type Results } from "../support/errors.ts";
import { withGpu } from "../support/gpu.ts";
import { answer, blank, graphLoss, pick, type Request } from "../support/programs.ts";
import { reference, type Vector } from "../support/reference.ts";
import { type Sample, sample } from "../support/sample.ts";

let nearest = { share: 0, name: "" };

const gpu = withGpu(
  (adapter) =>
    `${cases.length} kernel cases × value, gradient, jvp and hvp, with tangents in w, in α and in both, on ${adapter}; ` +
    `nearest to its budget: ${nearest.name} (${(100 * nearest.share).toFixed(0)} %)`,
);

const requests: readonly Request[] = [
  { seeds: "parameters", primal: false },
  { seeds: "hyper", primal: false },
  { seeds: "both", primal: true },
];

test.each(cases.map((kase) => [kase.name, kase] as const))("%s", async (_name, kase) => {
  const at = sample(kase);
  const exact = reference(kase, at);
  const wanted = requests.filter(({ seeds }) => seeds === "both" || kase[seeds]);
  const answers = await answer(gpu(), kase, at, wanted);
  expectWithin(kase, errorsOf(await fourPrograms(kase, at), exact, "both", at), "the four programs");
  wanted.forEach(({ seeds }, k) => {
    expectWithin(kase, errorsOf(answers[k]!, exact, seeds, at), `tangents in ${seeds}`);
  });
});

const products = cases.filter(({ name }) => name.startsWith("matmul"));

test.each(products.map((kase) => [kase.name, kase] as const))("%s, with a GPU's tile", async (_name, kase) => {
  const at = sample(kase);
  const exact = reference(kase, at);
  for (const primal of [true, false]) {
    const [found] = await answer(gpu(), kase, at, [{ seeds: "both", primal }], "hardware");
    expectWithin(kase, errorsOf(found!, exact, "both", at), "a GPU's tile");
  }
});

async function fourPrograms(kase: Case, { lanes, point, tangent, data }: Sample): Promise<Results> {
  const laned = (vector: Vector) => ({
    parameters: pick(vector, kase.parameters, lanes),
    hyper: pick(vector, kase.hyper, lanes),
  });
  const f = await differentiate(gpu(), {
    parameters: blank(kase.parameters),
    hyper: blank(kase.hyper),
    data,
    lanes,
    loss: graphLoss(kase),
  });
  try {
    f.set(laned(point));
    return {
      value: await f.value(),
      gradient: merge(await f.gradient()),
      jvp: await f.jvp(laned(tangent)),
      hvp: merge(await f.hvp(laned(tangent))),
    };
  } finally {
    f.destroy();
  }
}

function merge({ parameters, hyper }: { parameters: ValuesOf; hyper: ValuesOf }): Vector {
  const entries = Object.entries({ ...parameters, ...hyper });
  return Object.fromEntries(entries.map(([name, { data }]) => [name, Float64Array.from(data)]));
}

function expectWithin({ name, budget }: Case, errors: Errors, how: string): void {
  console.log(`@@${JSON.stringify([name, how, errors])}`);
  for (const part of ["value", "gradient", "jvp", "hvp"] as const) {
    const share = errors[part] / budget[part];
    if (share > nearest.share) nearest = { share, name: `${part} of ${name}` };
    expect(errors[part], `${part}, ${how}`).toBeLessThanOrEqual(budget[part]);
  }
}
