import { expect, test } from "vitest";
import { Arena } from "../../src/gpu/arena.ts";
import { Block } from "../../src/gpu/block.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { correct, crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import { sigmoid, square } from "../../src/graph/operations/elementwise.ts";
import { gather } from "../../src/graph/operations/gather.ts";
import { add, scale } from "../../src/graph/operations/linear_combination.ts";
import { dense } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { Program } from "../../src/graph/program.ts";
import { constant } from "../../src/graph/tensor.ts";
import { dataLeaves, Leaves } from "../../src/graph/trace.ts";
import { values, zeros } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `what programs leave out, and values without derivatives, on ${adapter}`);

test("the mixed product of weighted examples needs no backward pass", () => {
  const leaves = new Leaves(
    { weight: zeros([10, 785]), bias: zeros([10]) },
    { alpha: zeros([1000]) },
    { laned: { parameters: true, hyper: true } },
  );
  const { tensors } = dataLeaves({ x: zeros([1000, 785]), y: values(new Int32Array(1000)) });
  const { hyper } = leaves.trace(
    ({ weight, bias }, { alpha }, { x, y }) =>
      scale(1 / 1000, sum(mul(sigmoid(alpha!), crossEntropy(dense(x!, weight!, bias!), y!)))),
    tensors,
  );
  const mixed = new Program({
    name: "mixed product",
    outputs: [{ tensor: hyper, tangent: { block: new Block("m", "gradients", 4000), lane: 1000 } }],
    seeds: new Map([[leaves.parameters, leaves.lane.parameters]]),
    lanes: 1,
    adapter: gpu().traits,
  });
  mixed.place(new Arena("activations"));
  const kernels = mixed
    .explain()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split("  ")[0]!);
  const named = (name: string) =>
    kernels.flatMap((kernel) => kernel.split(", ")).filter((part) => part.startsWith(name));
  expect(named("matmul")).toEqual(["matmul dual"]);
  expect(named("cross-entropy")).toEqual(["cross-entropy tangent"]);
});

test("a constant loss has zero derivatives, in every lane", async () => {
  const f = await differentiate(gpu(), {
    parameters: { w: values([1, 2, 3]) },
    hyper: { alpha: values([4]) },
    lanes: 2,
    loss: () => constant(3),
  });
  const tangent = { parameters: { w: values([1, 1, 1]) }, hyper: { alpha: values([1]) } };
  expect([...(await f.value())]).toEqual([3, 3]);
  expect([...(await f.jvp(tangent))]).toEqual([0, 0]);
  for (const { parameters, hyper } of [await f.gradient(), await f.hvp(tangent)]) {
    expect([...parameters.w.data, ...hyper.alpha.data]).toEqual(new Array(8).fill(0));
  }
  f.destroy();
});

test("correct counts hits, the first of equal logits wins, and it has no derivative", async () => {
  const f = await differentiate(gpu(), {
    parameters: { z: values([1, 2, 0, 5, 5, 5, -1, -2, -3, 0, 0, 1], [4, 3]) },
    data: { labels: values(Int32Array.of(1, 0, 2, 2)) },
    loss: ({ z }, _, { labels }) => add(sum(correct(z, labels)), scale(0.5, sum(square(z)))),
  });
  const halfSquares = 0.5 * (1 + 4 + 75 + 14 + 1);
  expect([...(await f.value())]).toEqual([3 + halfSquares]);
  const tangent = { parameters: { z: values(new Float32Array(12).fill(1), [4, 3]) }, hyper: {} };
  expect([...(await f.gradient()).parameters.z.data]).toEqual([1, 2, 0, 5, 5, 5, -1, -2, -3, 0, 0, 1]);
  expect([...(await f.jvp(tangent))]).toEqual([13]);
  expect([...(await f.hvp(tangent)).parameters.z.data]).toEqual(new Array(12).fill(1));
  f.destroy();
});

test("a function of hits alone has zero derivatives", async () => {
  const f = await differentiate(gpu(), {
    parameters: { z: values([1, 2, 5, 3], [2, 2]) },
    data: { labels: values(Int32Array.of(1, 1)) },
    loss: ({ z }, _, { labels }) => scale(1 / 2, sum(correct(z, labels))),
  });
  const tangent = { parameters: { z: values([1, 1, 1, 1], [2, 2]) }, hyper: {} };
  expect([...(await f.value())]).toEqual([0.5]);
  expect([...(await f.gradient()).parameters.z.data]).toEqual([0, 0, 0, 0]);
  expect([...(await f.jvp(tangent))]).toEqual([0]);
  expect([...(await f.hvp(tangent)).parameters.z.data]).toEqual([0, 0, 0, 0]);
  f.destroy();
});

test("gathered labels keep every bit", async () => {
  const f = await differentiate(gpu(), {
    parameters: { z: values([0, 9, 0, 0, 0, 9], [2, 3]) },
    data: { labels: values(Int32Array.of(0, 2, 1)), index: values(Int32Array.of(2, 1)) },
    loss: ({ z }, _, { labels, index }) => sum(correct(z, gather(labels, index))),
  });
  expect([...(await f.value())]).toEqual([2]);
  f.destroy();
});
