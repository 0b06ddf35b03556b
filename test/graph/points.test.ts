import { expect, test } from "vitest";
import { ProblemError } from "../../src/gpu/problem_error.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { add } from "../../src/graph/operations/linear_combination.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `points and tangents of another form are refused, on ${adapter}`);

const w = values([1, 2]);

test("a point or a tangent of another form is refused, and the right one is said", async () => {
  const f = await differentiate(gpu(), {
    parameters: { w, v: w },
    hyper: { alpha: w },
    loss: ({ w, v }, { alpha }) => add(add(squaredNorm(w!), squaredNorm(v!)), squaredNorm(alpha!)),
  });
  const form = /: give \{ parameters: \{ w, v \}, hyper: \{ alpha \} \}$/;
  const given: [unknown, RegExp][] = [
    [{ w, v: w, alpha: w }, /^"w" stands beside parameters and hyper/],
    [{ parameters: { w, v: w }, alpha: w }, /^"alpha" stands beside/],
    [{ parameters: { w, v: w } }, /^"hyper" is missing in a tangent/],
    [undefined, /is undefined/],
    [new Float32Array(6), /^"0" stands beside/],
  ];
  for (const [wrong, said] of given) {
    for (const attempt of [f.jvp(wrong as never), f.hvp(wrong as never)]) {
      const error = await attempt.catch((error: unknown) => error);
      expect(error).toBeInstanceOf(ProblemError);
      expect((error as Error).message).toMatch(said);
      expect((error as Error).message).toMatch(form);
    }
  }
  expect(() => f.set({ w } as never)).toThrow(form);
  f.set({ parameters: { w, v: w } });
  const tangent = { parameters: { w, v: w }, hyper: { alpha: w } };
  expect([...(await f.jvp(tangent))]).toEqual([30]);
  f.destroy();
});

test("a space without names may be left out of a tangent", async () => {
  const f = await differentiate(gpu(), { parameters: { w }, loss: ({ w }) => squaredNorm(w!) });
  expect([...(await f.jvp({ parameters: { w } } as never))]).toEqual([10]);
  await expect(f.jvp({ w } as never)).rejects.toThrow(/: give \{ parameters: \{ w \} \}$/);
  f.destroy();
});
