import { expect, test } from "vitest";
import { type Case, cases, variedCases } from "../support/cases.ts";
import { type Errors, errorsOf, type Results } from "../support/errors.ts";
import { compile } from "../support/function.ts";
import { withGpu } from "../support/gpu.ts";
import { answer, type Request } from "../support/programs.ts";
import { reference } from "../support/reference.ts";
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

test.each(variedCases.map((kase) => [kase.name, kase] as const))(
  "%s, by a GPU's kernels",
  async (_name, kase) => {
    const at = sample(kase);
    const exact = reference(kase, at);
    for (const primal of [true, false]) {
      const [found] = await answer(gpu(), kase, at, [{ seeds: "both", primal }], { kind: "hardware" });
      expectWithin(kase, errorsOf(found!, exact, "both", at), "a GPU's kernels");
    }
  },
);

async function fourPrograms(kase: Case, at: Sample): Promise<Results> {
  const f = await compile(gpu(), kase, at);
  try {
    return {
      value: await f.value(),
      gradient: await f.gradient(),
      jvp: await f.jvp(at.tangent),
      hvp: await f.hvp(at.tangent),
    };
  } finally {
    f.destroy();
  }
}

function expectWithin({ name, budget }: Case, errors: Errors, how: string): void {
  for (const part of ["value", "gradient", "jvp", "hvp"] as const) {
    const share = errors[part] / budget[part];
    if (share > nearest.share) nearest = { share, name: `${part} of ${name}` };
    expect(errors[part], `${part}, ${how}`).toBeLessThanOrEqual(budget[part]);
  }
}
