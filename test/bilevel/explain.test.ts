import { expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { withGpu } from "../support/gpu.ts";
import { hypercleaning, problem } from "./problems.ts";

const gpu = withGpu(
  (adapter) => `explain(): per-example weights' mixed product has no backward kernel, on ${adapter}`,
);

/** The kernels of each program, by its name. */
async function programs(estimator: Estimator): Promise<Record<string, string[]>> {
  const loop = await OuterLoop.prepare(problem(hypercleaning, { momentum: 0.9 }), { gpu: gpu(), estimator });
  loop.destroy();
  const found: Record<string, string[]> = {};
  let current: string[] = [];
  for (const line of loop.explain().split("\n")) {
    const head = /^(\S.*): (\d+) kernels?$/.exec(line);
    if (head) found[head[1]!] = current = [];
    else current.push(line.trim());
  }
  return found;
}

/** Belongs to a backward pass through the model; that of σ is σ'(λ) times the tangent of the losses, and cheap. */
const isBackward = (kernel: string) =>
  /backward|transpose|scatter/.test(kernel.replace("sigmoid backward", ""));

test("greedy's mixed product is one tangent forward", async () => {
  const { "frozen product α": mixed, "inner gradient": gradient } = await programs(greedy({ gamma: 0.9 }));
  expect(mixed!.filter((kernel) => kernel.startsWith("matmul"))).toHaveLength(1);
  expect(mixed!.filter((kernel) => kernel.startsWith("matmul tangent"))).toHaveLength(1);
  expect(mixed!.filter(isBackward)).toEqual([]);
  // Nothing that the inner gradient left in memory is computed again.
  expect(mixed!.filter((kernel) => /dual/.test(kernel))).toEqual([]);
  expect(gradient!.some(isBackward)).toBe(true);
});

test("RMD's last product, which wants H_αw r alone, has no backward kernel either", async () => {
  const { "product α": last, "product w α": product } = await programs(rmd());
  expect(last!.filter((kernel) => kernel.startsWith("matmul"))).toHaveLength(1);
  expect(last!.filter(isBackward)).toEqual([]);
  expect(product!.some(isBackward)).toBe(true);
});

test("it counts the dispatches of an outer step", async () => {
  const stated = problem(hypercleaning, { momentum: 0.9 });
  const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator: rmd() });
  const { counters } = gpu();
  const before = counters.dispatches;
  await loop.step({ restart: true });
  const [, all, begin, inner, each, update] =
    /(\d+) dispatches; (\d+) to begin, (\d+) for .* \((.*) an inner step\), (\d+)/.exec(loop.explain())!;
  loop.destroy();
  expect(Number(all)).toBe(counters.dispatches - before);
  expect(Number(begin) + Number(inner) + Number(update)).toBe(Number(all));
  expect(Number(each)).toBeCloseTo(Number(inner) / stated.steps, 1);
});

test("each line has shapes, operations and bytes", async () => {
  for (const kernels of Object.values(await programs(rmd()))) {
    for (const kernel of kernels) expect(kernel).toMatch(/\[.*\].* MFLOP +[\d.]+ [KMG]?i?B$/);
  }
});
