import { expect, test } from "vitest";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { reshape, slice } from "../../src/graph/operations/copy.ts";
import { crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import { sigmoid } from "../../src/graph/operations/elementwise.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { type DataValues, type Pixels, pixels } from "../../src/graph/pixels.ts";
import { perLane, type Values, values, zeros } from "../../src/graph/values.ts";
import { linear } from "../../src/nn/models.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";
import { numbers, relativeError } from "./vectors.ts";

const gpu = withGpu(
  (adapter) =>
    `hyper-cleaning on pixels beside the same numbers as floats: batches, lanes, new data, bytes; on ${adapter}`,
);

const [EXAMPLES, CLASSES] = [7, 3];

/** A byte over 255 and its float differ in the last bit of the float at most, which the inner steps carry on. */
const BUDGET = 1e-5;

const floats = ({ shape, data, perLane }: Pixels): Values => ({
  shape,
  data: Float32Array.from(data, (byte) => byte / 255),
  perLane,
});

interface Setting {
  /** Of an example: whole words, or not. */
  readonly inputs?: number;
  readonly batch?: number;
  readonly lanes?: number;
}

function images({ inputs = 8, lanes }: Setting, seed: number): Pixels {
  const random = new Random(seed);
  const drawn = (shape: number[]) =>
    pixels(
      Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.integer(256)),
      shape,
    );
  return lanes === undefined ? drawn([EXAMPLES, inputs]) : perLane(drawn([lanes, EXAMPLES, inputs]));
}

function stated(setting: Setting, as: (images: Pixels) => DataValues): Problem<string, string> {
  const { inputs = 8, batch, lanes } = setting;
  const model = linear(inputs, CLASSES);
  const labels = values(Int32Array.from({ length: EXAMPLES }, (_, row) => row % CLASSES));
  return bilevel<string, string, string, string>({
    parameters: model.parameters,
    hyper: { weight: zeros([EXAMPLES]) },
    lanes,
    inner: {
      data: { x: as(images(setting, 1)), y: labels, place: values(Int32Array.from(labels.data.keys())) },
      batch,
      steps: 5,
      optimizer: sgd({ lr: 0.5, momentum: 0.5 }),
      loss: (w, { weight }, { x, y }, { rows }) =>
        mean(mul(sigmoid(rows(weight!)), crossEntropy(model.apply(w, x!), y!))),
    },
    outer: {
      data: { x: as(images(setting, 2)), y: labels },
      loss: (w, _, { x, y }) => mean(crossEntropy(model.apply(w, x!), y!)),
    },
  });
}

test.each<Setting>([
  { inputs: 8 },
  { inputs: 5 },
  { inputs: 8, batch: 4 },
  { inputs: 5, batch: 4 },
  { inputs: 8, lanes: 3 },
  { inputs: 5, lanes: 3, batch: 3 },
])("the hypergradient is that of the floats: %o", async (setting) => {
  const of = (as: (images: Pixels) => DataValues) =>
    hypergradient(stated(setting, as), { gpu: gpu(), estimator: rmd() });
  const [found, exact] = [await of((bytes) => bytes), await of(floats)];
  for (const part of ["hypergradient", "parameters"] as const)
    expect(relativeError(numbers(found[part]), numbers(exact[part]))).toBeLessThan(BUDGET);
});

test("pixels take the place of pixels, of the same shape and of no other kind", async () => {
  const setting = { inputs: 5, lanes: 2 };
  const loop = await OuterLoop.prepare(
    stated(setting, (bytes) => bytes),
    { gpu: gpu(), estimator: rmd() },
  );
  const step = async (x: Pixels) => {
    loop.setData({ inner: { x } });
    await loop.step({ restart: true });
    return numbers(await loop.hypergradient());
  };
  const first = await step(images(setting, 1));
  const other = await step(images(setting, 3));
  expect(relativeError(other, first)).toBeGreaterThan(0.01);
  expect(await step(images(setting, 1))).toEqual(first);
  expect(() => loop.setData({ inner: { x: floats(images(setting, 1)) } })).toThrow(
    /"x" of inner.data is .*of Float32Array, the problem was stated with .*of Uint8Array/,
  );
  loop.destroy();
});

test.each<Setting>([{ inputs: 400 }, { inputs: 401 }, { inputs: 401, batch: 2 }])(
  "they take a byte each, also where batches are drawn: %o",
  async (setting) => {
    const memoryOf = async (as: (images: Pixels) => DataValues) => {
      const loop = await OuterLoop.prepare(stated(setting, as), { gpu: gpu(), estimator: rmd() });
      loop.destroy();
      return loop.memory;
    };
    const [bytes, whole] = [await memoryOf((images) => images), await memoryOf(floats)];
    // Of both levels' images; activations of this size depend on the tiles.
    const saved = 2 * 3 * EXAMPLES * setting.inputs!;
    expect(whole.data! - bytes.data!).toBeGreaterThan(0.99 * saved);
    expect(whole.total - bytes.total).toBeGreaterThan(0.95 * saved);
  },
);

test("a loss that is a pixel is its value", async () => {
  const f = await differentiate(gpu(), {
    parameters: { w: zeros([1]) },
    data: { x: pixels(Uint8Array.of(1, 2, 3, 204, 5)) },
    loss: (_w, _alpha, { x }) => reshape(slice(x, 3, 4), []),
  });
  expect((await f.value())[0]).toBeCloseTo(0.8, 6);
  f.destroy();
});

test("bytes and floats give the same pixels", () => {
  const bytes = Uint8ClampedArray.from({ length: 256 }, (_, byte) => byte);
  const rounded = pixels(
    Float32Array.from(bytes, (byte) => byte / 255),
    [16, 16],
  );
  expect(rounded).toEqual(pixels(bytes, [16, 16]));
  expect(rounded.data).toEqual(new Uint8Array(bytes));
  expect(pixels(bytes.subarray(3, 5)).data).toEqual(Uint8Array.of(3, 4));
});

test.each([
  ["numbers above 1", [0.5, 1.5], /pixels are 1\.5 at element \[1\]: scale images to \[0, 1\]/],
  ["numbers below 0", [-0.25], /pixels are -0\.25 at element \[0\]/],
  ["NaN", [Number.NaN], /pixels are NaN/],
] as const)("refuses %s", (_what, list, message) => {
  expect(() => pixels(Float32Array.from(list))).toThrow(message);
});

test("refuses what is no image, and what does not fill its shape", () => {
  expect(() => pixels([0, 1] as never)).toThrow(/pixels takes a Uint8Array, .*not a plain array/);
  expect(() => pixels(Float64Array.of(1) as never)).toThrow(/not a Float64Array/);
  expect(() => pixels(new Uint8Array(5), [2, 3])).toThrow(/pixels has 5 numbers, which do not fill \[2×3\]/);
});

test("refuses pixels for parameters and for hyperparameters", () => {
  const bytes = pixels(new Uint8Array(8));
  const spec = {
    parameters: { w: zeros([8]) },
    hyper: { a: zeros([8]) },
    inner: { loss: ({ w }: never) => mean(mul(w, w)), steps: 1, optimizer: sgd<string>({ lr: 1 }) },
    outer: { loss: ({ w }: never) => mean(mul(w, w)) },
  };
  expect(() => bilevel({ ...spec, parameters: { w: bytes } } as never)).toThrow(
    /"w" of parameters holds a Uint8Array/,
  );
  expect(() => bilevel({ ...spec, hyper: { a: bytes } } as never)).toThrow(/"a" of hyper holds a Uint8Array/);
});
