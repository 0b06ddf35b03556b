import { expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Case } from "./cases/case.ts";
import { errorsOf } from "./errors.ts";
import { forcedVariants } from "./forced.ts";
import { withGpu } from "./gpu.ts";
import { answer } from "./programs.ts";
import { reference } from "./reference.ts";
import { sample } from "./sample.ts";

/** Tests value, gradient, jvp and hvp of the cases against float64, with each variant of the kernels forced. */
export function testByEveryVariant(what: string, cases: readonly Case[]): () => Gpu {
  const gpu = withGpu(
    (adapter) =>
      `${what}: ${cases.length} functions by ${Object.keys(forcedVariants(gpu())).length} variants against float64, on ${adapter}`,
  );

  test.each(cases.map((kase) => [kase.name, kase] as const))("%s, by every variant", async (_name, kase) => {
    const at = sample(kase);
    const exact = reference(kase, at);
    const traits = gpu().traits;
    for (const [name, variants] of Object.entries(forcedVariants(gpu()))) {
      const adapter = { ...traits, variants };
      for (const primal of [true, false]) {
        const [found] = await answer(gpu(), kase, at, [{ seeds: "both", primal }], adapter);
        const errors = errorsOf(found!, exact, "both", at);
        for (const part of ["value", "gradient", "jvp", "hvp"] as const)
          expect(errors[part], `${part}, ${name}`).toBeLessThanOrEqual(kase.budget[part]);
      }
    }
  });

  return gpu;
}
