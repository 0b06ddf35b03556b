import { describe, expect, test } from "vitest";
import { HypergradError, ValidationError } from "../../src/gpu/errors.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { ProblemError } from "../../src/gpu/problem_error.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { batchNorm } from "../../src/graph/operations/batch_norm.ts";
import { conv2d } from "../../src/graph/operations/conv2d.ts";
import { flatten, reshape, slice, transpose } from "../../src/graph/operations/copy.ts";
import { crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import { elementwise, exp, square } from "../../src/graph/operations/elementwise.ts";
import { gather } from "../../src/graph/operations/gather.ts";
import { add, neg, scale } from "../../src/graph/operations/linear_combination.ts";
import { dense, matmul } from "../../src/graph/operations/matmul.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { div, mul } from "../../src/graph/operations/multiply.ts";
import { maxPool } from "../../src/graph/operations/pool.ts";
import { broadcastTo, sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { ShapeError } from "../../src/graph/shape.ts";
import { leaf } from "../../src/graph/tensor.ts";
import type { Tensors } from "../../src/graph/trace.ts";
import { values, zeros } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `${refusals.length} wrong shapes and what else is refused, on ${adapter}`);

const x = (...shape: number[]) => leaf("x", shape);
const integers = (...shape: number[]) => leaf("i", shape, { dtype: "i32" });

/** What is tried, and what the message must name. */
const refusals: [what: string, attempt: () => unknown, named: string[]][] = [
  ["sizes that do not broadcast", () => add(x(3, 4), x(3)), ["[3×4]", "[3]"]],
  ["a product of them", () => mul(x(2, 3), x(4, 3)), ["[2×3]", "[4×3]"]],
  ["a quotient of them", () => div(x(2), x(3)), ["[2]", "[3]"]],
  ["matrices that do not fit", () => matmul(x(3, 4), x(5, 2)), ["[3×4]", "[5×2]"]],
  [
    "transposed matrices that do not",
    () => matmul(x(3, 4), x(4, 2), { transposeB: true }),
    ["[3×4]", "[4×2]ᵀ"],
  ],
  ["a vector for a matrix", () => matmul(x(3), x(3, 2)), ["[3]", "[3×2]"]],
  ["a bias of another length", () => dense(x(9, 4), x(5, 4), x(4)), ["[9×4]", "[5×4]", "[4]"]],
  ["an axis too far", () => sum(x(3, 4), 2), ["axis 2", "[3×4]"]],
  ["an axis too far back", () => sum(x(3, 4), -3), ["axis -3", "[3×4]"]],
  ["half an axis", () => sum(x(3, 4), 0.5), ["axis 0.5"]],
  ["a slice past the end", () => slice(x(3, 4), 1, 5, 1), ["1:5", "[3×4]"]],
  ["a slice of nothing", () => slice(x(3, 4), 2, 2), ["2:2", "[3×4]"]],
  ["an axis twice", () => transpose(x(3, 4), [0, 0]), ["[0,0]", "[3×4]"]],
  ["too few axes", () => transpose(x(3, 4), [1]), ["[1]", "[3×4]"]],
  ["a shape of another size", () => reshape(x(3, 4), [5, 2]), ["[3×4]", "[5×2]"]],
  ["a shape that does not divide", () => reshape(x(3, 4), [5, -1]), ["[3×4]", "[5×-1]"]],
  ["logits and labels of two lengths", () => crossEntropy(x(3, 4), integers(5)), ["[3×4]", "[5]"]],
  ["labels that are no integers", () => crossEntropy(x(3, 4), x(3)), ["i32", "f32"]],
  ["an index that is no integer", () => gather(x(3, 4), x(2)), ["i32", "f32"]],
  ["integers in arithmetic", () => mul(x(3), integers(3)), ["i32", "[3]"]],
  ["a function of integers", () => exp(integers(3)), ["i32", "[3]"]],
  ["a sum of integers", () => sum(integers(3)), ["i32", "[3]"]],
  ["the norm of integers", () => squaredNorm(integers(3)), ["i32", "[3]"]],
  ["numbers that do not fill a shape", () => values([1, 2, 3], [2, 2]), ["3", "[2×2]"]],
  ["a shape that is no list", () => zeros(4 as never), ["4 is no shape", "[2, 3]"]],
  ["labels in floats", () => crossEntropy(x(2, 3), x(2)), ["values(Int32Array.from(list))"]],
  ["a negative shape", () => zeros([-4]), ["[-4] is no shape"]],
];

const host = values([1, 2, 3]) as never;
const nothing = undefined as never;
const arithmetic = /tensors are combined by add, sub, mul and div, not by \+ - \* and \//;

/** Operands that are no graph tensors, and what the message says. */
const slips: [what: string, attempt: () => unknown, message: RegExp][] = [
  ["nothing", () => mul(x(3), nothing), /operand 2 of mul is undefined: is its name spelled right\?/],
  ["nothing, alone", () => exp(nothing), /the operand of exp is undefined/],
  ["Values", () => add(host, x(3)), /operand 1 of add is Values, numbers on the host: state it as data/],
  [
    "a typed array",
    () => dense(x(2, 3), new Float32Array(3) as never),
    /operand 2 of dense is a Float32Array/,
  ],
  ["a product by *", () => exp((2 * (x(3) as never)) as never), arithmetic],
  ["one among numbers", () => mul((2 * (x(3) as never)) as never, x(3)), arithmetic],
  ["a sum by +", () => sum((x(3) + (x(3) as never)) as never), arithmetic],
  ["a function", () => sum(exp as never), /the operand of sum is a function: call it/],
  ["a promise", () => mean(Promise.resolve(x(3)) as never), /is a promise: a loss must not be async/],
  ["all of a group", () => exp({ a: x(3) } as never), /is an object: take a tensor of it by its name/],
  ["one of several", () => squaredNorm({ a: x(3), b: nothing }), /operand 2 of squaredNorm is undefined/],
  ["a bias", () => matmul(x(2, 3), x(3, 2), { bias: host }), /operand 3 of matmul is Values/],
  ["a scale", () => batchNorm(x(4, 3), { scale: host }), /operand 2 of batchNorm is Values/],
  ["logits", () => crossEntropy(nothing, integers(3)), /operand 1 of crossEntropy is undefined/],
  [
    "a factor that comes last",
    () => scale(x(3) as never, 0.5),
    /factor of scale is a graph tensor: the number comes first, scale\(0\.5, x\)/,
  ],
  ["a factor that is no number", () => scale(nothing, x(3)), /factor of scale is undefined/],
  ...[neg, square, sum, mean, flatten, transpose, squaredNorm].map(
    (operation): [string, () => unknown, RegExp] => [
      `nothing in ${operation.name}`,
      () => operation(nothing),
      /the operand of \w+ is undefined/,
    ],
  ),
  ["values of nothing", () => values(nothing), /values takes a list of numbers, not undefined/],
  [
    "values of bigints",
    () => values(BigInt64Array.of(1n) as never),
    /not bigints: write values\(Int32Array\.from\(data, Number\)/,
  ],
  ["nothing in reshape", () => reshape(nothing, [3]), /the operand of reshape is undefined/],
  ["nothing in slice", () => slice(nothing, 0, 1), /the operand of slice is undefined/],
  ["nothing in broadcastTo", () => broadcastTo(nothing, [3]), /the operand of broadcastTo is undefined/],
  ["nothing in gather", () => gather(x(3), nothing), /operand 2 of gather is undefined/],
  ["nothing in conv2d", () => conv2d(x(1, 1, 3, 3), nothing), /operand 2 of conv2d is undefined/],
  ["nothing in maxPool", () => maxPool(nothing, { size: 2 }), /the operand of maxPool is undefined/],
  [
    "an elementwise operation without a second derivative",
    () => elementwise("mine", { f: "x", df: "1.0" } as never),
    /ddf of elementwise\("mine", \{ f, df, ddf \}\), its second derivative, is undefined: give a WGSL expression in x/,
  ],
  [
    "one in JavaScript",
    () => elementwise("mine", { f: (v: number) => v, df: "1.0", ddf: "0.0" } as never),
    /f of elementwise\("mine".*, the function, is a function: give a WGSL expression/,
  ],
  ["one without expressions", () => elementwise("mine", nothing), /f of elementwise\("mine".*is undefined/],
  [
    "one without a name",
    () => elementwise("", { f: "x", df: "1.0", ddf: "0.0" }),
    /the name of an elementwise/,
  ],
];

test.each<[string, () => unknown]>([
  [
    'conv2d takes no "strides"; there are stride, padding, bias',
    () => conv2d(x(1, 1, 3, 3), x(1, 1, 3, 3), { strides: 2 } as object),
  ],
  [
    'maxPool takes no "pad"; there are size, stride, padding',
    () => maxPool(x(1, 1, 4, 4), { size: 2, pad: 1 } as never),
  ],
  [
    'batchNorm takes no "eps"; there are scale, shift, epsilon',
    () => batchNorm(x(4, 3), { eps: 1 } as object),
  ],
  [
    'matmul takes no "transpose"; there are transposeA',
    () => matmul(x(2, 3), x(3, 2), { transpose: true } as object),
  ],
])("%s", (message, attempt) => {
  const error = thrown(attempt);
  expect(error).toBeInstanceOf(ProblemError);
  expect(error.message).toContain(message);
});

test.each(slips)("in place of a tensor: %s", (_what, attempt, message) => {
  const error = thrown(attempt);
  expect(error).toBeInstanceOf(HypergradError);
  expect(error.message).toMatch(message);
});

test.each(refusals)("%s", (_what, attempt, named) => {
  const error = thrown(attempt);
  expect(error).toBeInstanceOf(ShapeError);
  for (const part of named) expect(error.message).toContain(part);
});

function thrown(attempt: () => unknown): Error {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

const one = { parameters: { w: values([1, 2, 3]) } };

describe("differentiate", () => {
  test("refuses a loss that is no scalar", async () => {
    const built = differentiate(gpu(), { ...one, loss: ({ w }) => mul(w, w) });
    await expect(built).rejects.toThrow(ShapeError);
    await expect(built).rejects.toThrow(/\[3\].*sum/);
  });

  test("refuses what is no loss", async () => {
    const built = differentiate(gpu(), { ...one, loss: undefined as never });
    await expect(built).rejects.toThrow(/^the loss is undefined: give a function of \(w, α, data\)/);
  });

  test("refuses an empty tensor", async () => {
    const built = differentiate(gpu(), {
      parameters: { w: values([1]), none: values([], [0, 3]) },
      loss: (parameters) => squaredNorm(parameters),
    });
    await expect(built).rejects.toThrow(ShapeError);
    await expect(built).rejects.toThrow(/"none".*\[0×3\]/);
  });

  test("refuses values of another size, naming them", async () => {
    const f = await differentiate(gpu(), { ...one, loss: ({ w }) => sum(mul(w, w)) });
    const wrong = { w: values([1, 2]) };
    expect(() => f.set({ parameters: wrong })).toThrow(/"w" is \[2\], wanted is \[3\]/);
    await expect(f.hvp({ parameters: wrong, hyper: {} })).rejects.toThrow(ShapeError);
    f.destroy();
  });

  test.each([
    [
      "an array of float64",
      { shape: [3], data: new Float64Array(3) },
      /holds a Float64Array: write values\(Float32Array\.from/,
    ],
    [
      "an array of bytes",
      { shape: [3], data: new Uint8Array(3) },
      /holds a Uint8Array: .*Int32Array\.from\(data\), shape\) for labels/,
    ],
    ["a plain array with a shape", { shape: [3], data: [1, 2, 3] }, /holds a plain array: write values/],
    ["numbers without a shape", new Float32Array(3), /is a Float32Array: give values\(numbers, shape\)/],
    ["a plain array", [1, 2, 3], /is a plain array: give values/],
    ["nothing", undefined, /is undefined: give values/],
    ["a graph tensor", x(3), /is a graph tensor: give values/],
    ["NaN", values([1, 2, Number.NaN]), /is NaN at element \[2\]: give finite numbers/],
    ["infinity", values([1, 2, 3, Number.NEGATIVE_INFINITY], [2, 2]), /is -Infinity at element \[1, 1\]/],
  ] as [string, never, RegExp][])(
    "refuses %s for an array, as data, w or α",
    async (_what, array, message) => {
      const loss = ({ w }: Tensors) => squaredNorm(w!);
      for (const spec of [
        { ...one, data: { w: array }, loss },
        { parameters: { w: array }, loss },
        { ...one, hyper: { w: array }, loss },
      ]) {
        const built = differentiate(gpu(), spec);
        await expect(built).rejects.toThrow(message);
        await expect(built).rejects.toThrow(/^"w" of (data|parameters|hyper)/);
        await expect(built).rejects.toThrow(ProblemError);
      }
    },
  );

  test("refuses what are no Values for a tangent, too", async () => {
    const f = await differentiate(gpu(), { ...one, loss: ({ w }) => squaredNorm(w) });
    const tangent = { w: { shape: [3], data: new Float64Array(3) } as never };
    await expect(f.hvp({ parameters: tangent, hyper: {} })).rejects.toThrow(/"w" holds a Float64Array/);
    f.destroy();
  });

  test.each([
    ["malformed", { f: "x +* 2.0", df: "1.0", ddf: "0.0" }],
    ["with an unknown function", { f: "sinus(x)", df: "1.0", ddf: "0.0" }],
    ["wrong in a derivative alone", { f: "x", df: "vec2f(1.0)", ddf: "0.0" }],
  ])("refuses WGSL %s, and the device lives on", async (_what, expressions) => {
    const device = await Gpu.open();
    const wrong = elementwise("mine", expressions);
    const built = differentiate(device, { ...one, loss: ({ w }) => sum(wrong(w)) });
    await expect(built).rejects.toThrow(ValidationError);
    await expect(built).rejects.toThrow(/mine/);
    const f = await differentiate(device, { ...one, loss: ({ w }) => squaredNorm(w) });
    expect([...(await f.value())]).toEqual([14]);
    f.destroy();
    device.close();
  });
});
