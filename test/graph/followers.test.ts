import { expect, test } from "vitest";
import type { AdapterTraits } from "../../shaders/variants.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { Block } from "../../src/gpu/block.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { conv2d } from "../../src/graph/operations/conv2d.ts";
import { crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import { relu, tanh } from "../../src/graph/operations/elementwise.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { maxPool } from "../../src/graph/operations/pool.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { Program } from "../../src/graph/program.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { dataLeaves, Leaves } from "../../src/graph/trace.ts";
import { type Values, values, zeros } from "../../src/graph/values.ts";
import { followerCases } from "../support/cases/followers.ts";
import { testByEveryVariant } from "../support/every_variant.ts";
import { blank, graphLoss } from "../support/programs.ts";
import { sample } from "../support/sample.ts";

const gpu = testByEveryVariant(
  "operations that follow in the kernel of a product, a convolution or a pool",
  followerCases,
);

test("no kernel binds more buffers than the adapter has, nor one to write twice", () => {
  for (const kase of followerCases) {
    const leaves = new Leaves(blank(kase.parameters), blank(kase.hyper), {
      laned: { parameters: true, hyper: true },
    });
    const { data } = sample(kase);
    const inputs = dataLeaves(data);
    const traced = leaves.trace(graphLoss(kase), inputs.tensors);
    const place = (tensor: Tensor, name: string) => ({
      block: new Block(name, "gradients", 4 * Math.max(1, tensor.size)),
      lane: 0,
    });
    const program = new Program({
      name: kase.name,
      outputs: [traced.value, traced.parameters, traced.hyper].map((tensor) => ({
        tensor,
        primal: place(tensor, "primal"),
        tangent: place(tensor, "tangent"),
      })),
      seeds: new Map([
        [leaves.parameters, 0],
        [leaves.hyper, 0],
      ]),
      lanes: 1,
      adapter: { ...gpu().traits, buffers: 8 },
    });
    program.place(new Arena("activations"));
    const sequence = new Sequence(kase.name);
    const bound = new Map([
      ...inputs.resources,
      ...[leaves.parameters, leaves.hyper].map(
        (leaf) => [leaf, { block: place(leaf, "leaf").block }] as const,
      ),
    ]);
    program.record(sequence, { primal: bound, tangent: bound });
    for (const { label, bindings } of sequence.dispatches) {
      expect(bindings.length, `${label} of ${kase.name}`).toBeLessThanOrEqual(8);
      const written = bindings
        .filter(({ access }) => access !== "read")
        .map(({ resource }) => resource.block);
      expect(new Set(written).size, `${label} of ${kase.name}`).toBe(written.length);
    }
  }
});

/** The kernels that compute some results, and how many buffers each binds. */
function kernelsOf<N extends string>(
  data: Readonly<Record<N, Values>>,
  results: (leaves: Readonly<Record<N, Tensor>>) => readonly Tensor[],
  adapter: AdapterTraits = gpu().traits,
): { label: string; buffers: number }[] {
  const { tensors, resources } = dataLeaves(data);
  const program = new Program({
    name: "followers",
    outputs: results(tensors).map((tensor, k) => ({
      tensor,
      primal: { block: new Block(`result ${k}`, "activations", 4 * tensor.size), lane: 0 },
    })),
    lanes: 1,
    adapter,
  });
  program.place(new Arena("activations"));
  const sequence = new Sequence("followers");
  program.record(sequence, { primal: new Map(resources) });
  return sequence.dispatches.map(({ label, bindings }) => ({ label, buffers: bindings.length }));
}

const matrices = { a: zeros([6, 5]), b: zeros([5, 3]), c: zeros([6, 3]) };

test("a product that only its activation reads is not written", () => {
  const kernels = kernelsOf(matrices, ({ a, b }) => [relu(matmul(a, b))]);
  expect(kernels).toEqual([{ label: "matmul, relu", buffers: 3 }]);
});

test("one that something else reads is written beside", () => {
  const kernels = kernelsOf(matrices, ({ a, b }) => {
    const product = matmul(a, b);
    return [relu(product), sum(product)];
  });
  expect(kernels).toEqual([
    { label: "matmul, relu", buffers: 4 },
    { label: "sum", buffers: 2 },
  ]);
});

test("what waits for a reader of the product does not follow", () => {
  const kernels = kernelsOf(matrices, ({ a, b, c }) => {
    const product = matmul(a, b);
    const other = matmul(product, c, { transposeA: true });
    return [mul(product, matmul(c, other))];
  });
  expect(kernels.map(({ label }) => label)).toEqual(["matmul", "matmul", "matmul, multiply"]);
});

test("operations follow convolutions, pools and the products of whole rows", () => {
  const images = { x: zeros([2, 1, 4, 4]), w: zeros([3, 1, 3, 3]) };
  const network = kernelsOf(images, ({ x, w }) => [
    tanh(maxPool(relu(conv2d(x, w, { padding: 1 })), { size: 2 })),
  ]);
  expect(network.map(({ label }) => label)).toEqual(["conv2d, relu", "max-pool index", "max-pool, tanh"]);
  const labelled = { ...matrices, y: values(new Int32Array(6)) };
  for (const adapter of [gpu().traits, { kind: "hardware", buffers: 8 } as const]) {
    const losses = kernelsOf(labelled, ({ a, b, y }) => [sum(crossEntropy(matmul(a, b), y))], adapter);
    expect(losses.map(({ label }) => label)).toEqual(["matmul, cross-entropy", "sum"]);
  }
});

test("rows longer than a thread holds are left to a kernel of their own", () => {
  const data = { a: zeros([6, 5]), b: zeros([5, 17]), y: values(new Int32Array(6)) };
  const losses = kernelsOf(data, ({ a, b, y }) => [sum(crossEntropy(matmul(a, b), y))]);
  expect(losses.map(({ label }) => label)).toEqual(["matmul", "cross-entropy", "sum"]);
});
