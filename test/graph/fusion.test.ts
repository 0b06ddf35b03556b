import { expect, test } from "vitest";
import { Arena } from "../../src/gpu/arena.ts";
import { Block } from "../../src/gpu/block.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { reshape } from "../../src/graph/operations/copy.ts";
import { elementwise, sigmoid, square } from "../../src/graph/operations/elementwise.ts";
import { add, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { div, mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { Program } from "../../src/graph/program.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { dataLeaves } from "../../src/graph/trace.ts";
import { type Values, values, zeros } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `which elementwise operations share a kernel, on ${adapter}`);

/** The kernels that compute a value, with both halves where all leaves carry a tangent. */
function kernelsOf<N extends string>(
  data: Readonly<Record<N, Values>>,
  result: (leaves: Readonly<Record<N, Tensor>>) => Tensor,
  { dual = false } = {},
) {
  const { tensors, resources } = dataLeaves(data);
  const tensor = result(tensors);
  const target = (name: string) => ({ block: new Block(name, "activations", 4 * tensor.size), lane: 0 });
  const program = new Program({
    name: "fusion",
    outputs: [{ tensor, primal: target("primal"), ...(dual && { tangent: target("tangent") }) }],
    seeds: new Map(dual ? Object.values<Tensor>(tensors).map((leaf) => [leaf, 0]) : []),
    lanes: 1,
    adapter: gpu().traits,
  });
  program.place(new Arena("activations"));
  const sequence = new Sequence("fusion");
  program.record(sequence, { primal: new Map(resources), tangent: new Map(resources) });
  return sequence.dispatches.map(({ label, bindings }) => ({ label, buffers: bindings.length }));
}

const labels = (kernels: readonly { label: string }[]) => kernels.map(({ label }) => label);

test("a chain of elementwise operations and the sum over it are one kernel", () => {
  const data = { a: zeros([30, 20]), b: zeros([20]), c: zeros([30, 1]) };
  const kernels = kernelsOf(data, ({ a, b, c }) => sum(square(sub(mul(a, b), c))));
  expect(labels(kernels)).toEqual(["multiply, combine, square, sum"]);
});

test("what a product reads, or a view of another shape, is written; what is made of it follows in its kernel", () => {
  const data = { a: zeros([30, 30]), b: zeros([30, 30]) };
  const product = kernelsOf(data, ({ a, b }) => {
    const c = add(a, b);
    return add(matmul(c, c), c);
  });
  expect(labels(product)).toEqual(["combine", "matmul, combine"]);
  const reshaped = kernelsOf({ a: zeros([2, 3]), b: zeros([3, 2]) }, ({ a, b }) =>
    mul(reshape(square(a), [3, 2]), b),
  );
  expect(labels(reshaped)).toEqual(["square", "multiply"]);
});

test("a value that much is computed from, and that many read, is written once", () => {
  const data = { a: zeros([50]), b: zeros([50]), c: zeros([50]), d: zeros([50]) };
  const kernels = kernelsOf(data, ({ a, b, c, d }) => {
    const shared = mul(mul(a, b), mul(c, d));
    return add(add(sum(square(shared)), sum(mul(shared, a))), sum(mul(shared, b)));
  });
  expect(labels(kernels).filter((label) => label === "multiply, multiply, multiply")).toHaveLength(1);
});

test("operations that bring WGSL functions along share a kernel too, also where the functions are of one name", async () => {
  const twice = (factor: number) =>
    elementwise(`times ${factor}`, {
      f: "times(x)",
      df: `${factor}.0`,
      ddf: "0.0",
      functions: `fn times(x: f32) -> f32 { return ${factor}.0 * x; }`,
    });
  const [two, three] = [twice(2), twice(3)];
  const kernels = kernelsOf({ a: zeros([50]) }, ({ a }) => sum(sigmoid(three(two(a)))));
  expect(labels(kernels)).toEqual(["times 2, times 3, sigmoid, sum"]);
  const [read, written] = [{ a: zeros([50]) }, { a: zeros([50]), b: zeros([50]) }];
  expect(labels(kernelsOf(read, ({ a }) => sum(mul(sigmoid(a), sigmoid(a)))))).toHaveLength(1);
  const shared = kernelsOf(written, ({ a, b }) => {
    const s = sigmoid(a);
    return add(sum(mul(s, b)), sum(square(s)));
  });
  expect(labels(shared).filter((label) => label === "sigmoid")).toHaveLength(1);
  const f = await differentiate(gpu(), {
    parameters: { w: values([1, 2]) },
    loss: ({ w }) => sum(three(two(square(w)))),
  });
  expect([...(await f.value())]).toEqual([30]);
  expect([...(await f.gradient()).parameters.w.data]).toEqual([12, 24]);
  expect([...(await f.jvp({ parameters: { w: values([1, 1]) }, hyper: {} }))]).toEqual([36]);
  f.destroy();
});

test("so may constants, indented as they like, and text that declares nothing", async () => {
  const times = (functions: string, f: string) =>
    elementwise(f, { f, df: "1.0", ddf: "0.0", functions: `${functions}\n` });
  const chain = [
    times("const factor = 2.0;", "factor * x"),
    times("  const factor = 3.0;", "factor * x"),
    times("// nothing of its own", "x + 1.0"),
    times(
      "fn add_one(x: f32) -> f32 { const factor = 1.0; if (x > 0.0) { return x + factor; } return x; }",
      "add_one(x)",
    ),
    times("fn add_one(x: f32) -> f32 { return x + 10.0; }", "add_one(x)"),
  ];
  const f = await differentiate(gpu(), {
    parameters: { w: values([5]) },
    loss: ({ w }) => sum(chain.reduce((x, next) => next(x), square(w))),
  });
  expect([...(await f.value())]).toEqual([25 * 6 + 1 + 1 + 10]);
  f.destroy();
});

test("so may constants that are called like the elements of a vector", async () => {
  const twice = elementwise("twice", {
    ...{ f: "double(x)", df: "2.0", ddf: "0.0" },
    functions: "fn double(x: f32) -> f32 { return 2.0 * x; }",
  });
  const scaled = elementwise("scaled", { f: "w * x", df: "w", ddf: "0.0", functions: "const w = 3.0;" });
  const f = await differentiate(gpu(), {
    parameters: { w: values([1, 2, 3, 4]) },
    loss: ({ w }) => sum(scaled(twice(square(w)))),
  });
  expect([...(await f.value())]).toEqual([6 * 30]);
  expect([...(await f.gradient()).parameters.w.data]).toEqual([12, 24, 36, 48]);
  f.destroy();
});

test("no kernel takes more buffers than WebGPU promises", () => {
  const names = Array.from({ length: 12 }, (_, k) => `x${k}`);
  const data = Object.fromEntries(names.map((name) => [name, zeros([40])]));
  const chain = (leaves: Readonly<Record<string, Tensor>>) =>
    Object.values(leaves).reduce((result, leaf) => div(mul(result, leaf), add(leaf, 1)));
  for (const dual of [false, true]) {
    const kernels = kernelsOf(data, chain, { dual });
    expect(kernels.length).toBeLessThan(33);
    for (const { label, buffers } of kernels) expect(buffers, label).toBeLessThanOrEqual(8);
  }
});
