import { expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Case } from "./cases/case.ts";
import { type Errors, errorsOf, type Results } from "./errors.ts";
import { compile } from "./function.ts";
import { withGpu } from "./gpu.ts";
import { answer, type Request } from "./programs.ts";
import { type Reference, reference } from "./reference.ts";
import { type Sample, sample } from "./sample.ts";

const requests: readonly Request[] = [
  { seeds: "parameters", primal: false },
  { seeds: "hyper", primal: false },
  { seeds: "both", primal: true },
];

/**
 * Tests value, gradient, jvp and hvp of the cases against float64; the varied ones, which have other kernels on GPUs,
 * with those too.
 */
export function testKernels(cases: readonly Case[], varied: readonly Case[] = []): void {
  let nearest = { share: 0, name: "" };

  const gpu = withGpu(
    (adapter) =>
      `${cases.length} kernel cases × value, gradient, jvp and hvp, with tangents in w, in α and in both, on ${adapter}; ` +
      `nearest to its budget: ${nearest.name} (${(100 * nearest.share).toFixed(0)} %)`,
  );

  /** Samples and float64 answers, which two tests of a case share. */
  const answered = new Map<Case, { at: Sample; exact: Reference }>();

  function answerOf(kase: Case) {
    const known = answered.get(kase);
    if (known !== undefined) return known;
    const at = sample(kase);
    const made = { at, exact: reference(kase, at) };
    answered.set(kase, made);
    return made;
  }

  function expectWithin({ name, budget }: Case, errors: Errors, how: string): void {
    for (const part of ["value", "gradient", "jvp", "hvp"] as const) {
      const share = errors[part] / budget[part];
      if (share > nearest.share) nearest = { share, name: `${part} of ${name}` };
      expect(errors[part], `${part}, ${how}`).toBeLessThanOrEqual(budget[part]);
    }
  }

  test.each(cases.map((kase) => [kase.name, kase] as const))("%s", async (_name, kase) => {
    const { at, exact } = answerOf(kase);
    const wanted = requests.filter(({ seeds }) => seeds === "both" || kase[seeds]);
    const answers = await answer(gpu(), kase, at, wanted);
    expectWithin(kase, errorsOf(await fourPrograms(gpu(), kase, at), exact, "both", at), "the four programs");
    wanted.forEach(({ seeds }, k) => {
      expectWithin(kase, errorsOf(answers[k]!, exact, seeds, at), `tangents in ${seeds}`);
    });
  });

  test.each(varied.map((kase) => [kase.name, kase] as const))(
    "%s, by a GPU's kernels",
    async (_name, kase) => {
      const { at, exact } = answerOf(kase);
      for (const primal of [true, false]) {
        const [found] = await answer(gpu(), kase, at, [{ seeds: "both", primal }], {
          kind: "hardware",
          buffers: 8,
        });
        expectWithin(kase, errorsOf(found!, exact, "both", at), "a GPU's kernels");
      }
    },
  );
}

async function fourPrograms(gpu: Gpu, kase: Case, at: Sample): Promise<Results> {
  const f = await compile(gpu, kase, at);
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
