import { describe, expect, test } from "vitest";
import { leaf } from "../../src/graph/tensor.ts";
import {
  avgPool,
  bilevel,
  type ConvNetOptions,
  checkGradient,
  convNet,
  correct,
  crossEntropy,
  differentiate,
  fanInUniform,
  filled,
  firstOrder,
  heNormal,
  hypergradient,
  lecunNormal,
  mean,
  mlp,
  mul,
  ProblemError,
  Random,
  ShapeError,
  sgd,
  sigmoid,
  splitLayers,
  sum,
  tanh,
  type Values,
  values,
  zeros,
} from "../../src/index.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `convNet: shapes, first values, its hypergradients, on ${adapter}`);

const pooled = { channels: 8, pool: 2 };
/** Generalized greedy §5.3. */
const cleaning: ConvNetOptions = { image: [1, 28, 28], layers: [pooled, pooled, pooled], classes: 10 };
/** §5.4, as it may be: every second layer halves the image. */
const layer = { channels: 32 };
const half = { channels: 32, stride: 2 };
const warped: ConvNetOptions = {
  image: [1, 28, 28],
  layers: [half, layer, half, layer, half, layer],
  classes: 5,
};
/** Four layers of 64 channels with batch normalization, as few-shot papers take. */
const oneShot: ConvNetOptions = {
  image: [1, 28, 28],
  layers: Array.from({ length: 4 }, () => ({ channels: 64, pool: 2 })),
  classes: 20,
  norm: true,
};

const shapesOf = (parameters: Readonly<Record<string, Values>>) =>
  Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, shape]));

const count = (parameters: Readonly<Record<string, Values>>) =>
  Object.values(parameters).reduce((sum, { data }) => sum + data.length, 0);

/** The shape of the outputs for n inputs, by tracing. */
function outputs(options: ConvNetOptions, ...input: number[]): readonly number[] {
  const { parameters, apply } = convNet(options);
  const leaves = Object.entries(parameters).map(([name, { shape }]) => [name, leaf(name, shape)]);
  return apply(Object.fromEntries(leaves), leaf("x", input)).shape;
}

describe("shapes", () => {
  test("three pooled layers of 8 channels, 28 to 14 to 7 to 3, and a dense one", () => {
    const { parameters } = convNet(cleaning);
    expect(shapesOf(parameters)).toEqual({
      weight1: [8, 1, 3, 3],
      bias1: [8],
      weight2: [8, 8, 3, 3],
      bias2: [8],
      weight3: [8, 8, 3, 3],
      bias3: [8],
      weight4: [10, 72],
      bias4: [10],
    });
    expect(count(parameters)).toBe(1978);
  });

  test("strides halve an image, rounded up, and a normalized layer has a factor and a shift", () => {
    expect(shapesOf(convNet(warped).parameters).weight7).toEqual([5, 32 * 4 * 4]);
    const { weight1, scale1, shift1, bias1, weight5 } = shapesOf(convNet(oneShot).parameters);
    expect([weight1, scale1, shift1, bias1, weight5]).toEqual([
      [64, 1, 3, 3],
      [64],
      [64],
      undefined,
      [20, 64],
    ]);
    // Weights of four layers, factors and shifts, and the dense layer on 1×1 pixels.
    expect(count(convNet(oneShot).parameters)).toBe(576 + 3 * 36864 + 4 * 128 + 20 * 65);
  });

  test.each([
    ["cleaning", cleaning],
    ["warped", warped],
    ["one-shot", oneShot],
  ] as const)("%s: outputs [n × classes] of rows and of images", (_name, options) => {
    expect(outputs(options, 6, 784)).toEqual([6, options.classes]);
    expect(outputs(options, 6, 1, 28, 28)).toEqual([6, options.classes]);
  });

  test("layers that leave nothing are refused, by number", () => {
    const deep = { ...cleaning, layers: Array.from({ length: 5 }, () => pooled) };
    expect(() => convNet(deep)).toThrow(ShapeError);
    expect(() => convNet(deep)).toThrow("layer 5 of convNet leaves nothing of [8×1×1]");
  });

  test.each<[string, () => unknown]>([
    ['convNet takes no "pool"; there are image, layers', () => convNet({ ...cleaning, pool: 2 } as never)],
    [
      'a layer of convNet takes no "filters"; there are channels, kernel',
      () => convNet({ ...cleaning, layers: [{ channels: 8, filters: 8 }] } as never),
    ],
    [
      'mlp takes no "hidden"; there are activation, initial, seed',
      () => mlp([4, 2], { hidden: 3 } as object),
    ],
    [
      "there is no layer 9 to split off; there are 1, 2, 3, 4, 5, 6, 7",
      () => splitLayers(convNet(warped).parameters, [2, 9]),
    ],
  ])("%s", (message, attempt) => {
    expect(attempt).toThrow(ProblemError);
    expect(attempt).toThrow(message);
  });
});

test.each([
  ["normal with variance 2 / inputs", heNormal, 2],
  ["normal with variance 1 / inputs", lecunNormal, 1],
  ["uniform with variance 1 / (3 inputs)", fanInUniform, 1 / 3],
] as const)("first weights: %s, by seed", (_name, initial, variance) => {
  const options = { ...warped, initial };
  const { parameters } = convNet(options);
  const { data } = parameters.weight4!;
  const found = Array.from(data).reduce((sum, value) => sum + value * value, 0) / data.length;
  // Of 9216 numbers the mean square has a relative deviation of at most √(2 / 9216) = 1.5 %.
  expect(Math.abs(found / (variance / (32 * 9)) - 1)).toBeLessThan(0.06);
  expect(convNet(options).parameters).toEqual(parameters);
  expect(convNet({ ...options, seed: 1 }).parameters.weight1).not.toEqual(parameters.weight1);
});

test("normalized layers begin with factors of one and shifts of zero", () => {
  const { scale1, shift1 } = convNet(oneShot).parameters;
  expect([...scale1!.data, ...shift1!.data]).toEqual(Array.from({ length: 128 }, (_, i) => (i < 64 ? 1 : 0)));
});

test("layers split into those that are chosen and the rest", () => {
  const { parameters } = convNet(warped);
  const { chosen, others } = splitLayers(parameters, [2, 4, 6]);
  expect(Object.keys(chosen)).toEqual(["weight2", "bias2", "weight4", "bias4", "weight6", "bias6"]);
  expect(Object.keys(others)).toEqual([
    "weight1",
    "bias1",
    "weight3",
    "bias3",
    "weight5",
    "bias5",
    "weight7",
    "bias7",
  ]);
  expect(count(chosen) + count(others)).toBe(count(parameters));
});

test("dense layers before the last, and pools that take the mean of what is activated", async () => {
  const { parameters, apply } = convNet({
    image: [1, 2, 2],
    layers: [{ channels: 1, kernel: 1, pool: 2 }],
    hidden: [2, 3],
    classes: 1,
    pooling: avgPool,
  });
  expect(shapesOf(parameters)).toMatchObject({
    weight2: [2, 1],
    weight3: [3, 2],
    bias3: [3],
    weight4: [1, 3],
  });
  const ones = Object.entries(parameters).map(([name, { shape }]) => [
    name,
    filled(shape, name.startsWith("weight") ? 1 : 0),
  ]);
  const net = await differentiate(gpu(), {
    parameters: Object.fromEntries(ones) as typeof parameters,
    data: { x: values([3, -1, -1, -1], [1, 4]) },
    loss: (w, _hyper, { x }) => sum(apply(w, x)),
  });
  // relu leaves 3 of the four, of which the mean is 3/4, and each path through two and three units adds it once.
  expect([...(await net.value())]).toEqual([(3 / 4) * 2 * 3]);
  net.destroy();
});

const size = 6;
const examples = 8;
const random = new Random(4);
const images = values(
  Float32Array.from({ length: examples * size * size }, () => random.normal()),
  [examples, size * size],
);
const labels = values(Int32Array.from({ length: examples }, (_, i) => i % 2));
const tiny = convNet({
  image: [1, size, size],
  // Without a max-pool, at whose ties differences jump.
  layers: [{ channels: 3, stride: 2 }, { channels: 2 }],
  classes: 2,
  activation: tanh,
  norm: true,
  seed: 2,
});

/** Its second layer is a convolution too, and there are two dense ones. */
const pooledTiny = convNet({
  image: [1, size, size],
  layers: [{ channels: 3, pool: 2 }, { channels: 2 }],
  hidden: [3],
  classes: 2,
  activation: tanh,
  pooling: avgPool,
  norm: true,
  seed: 2,
});

/** Weighted examples, and a layer that is not trained. */
function problem(net: typeof tiny, steps: number) {
  const { chosen, others } = splitLayers(net.parameters, [2]);
  return bilevel({
    parameters: others,
    hyper: { lambda: zeros([examples]), ...chosen },
    inner: {
      data: { x: images, y: labels },
      loss: (w, { lambda, ...warp }, { x, y }) =>
        mean(mul(sigmoid(lambda), crossEntropy(net.apply({ ...w, ...warp }, x), y))),
      steps,
      optimizer: sgd({ lr: 0.1, momentum: 0.9 }),
    },
    outer: {
      data: { x: images, y: labels },
      loss: (w, { lambda: _, ...warp }, { x, y }) => mean(crossEntropy(net.apply({ ...w, ...warp }, x), y)),
    },
  });
}

test.each([
  ["batch normalization", tiny],
  ["pools of means and two dense layers", pooledTiny],
])("hypergradients through %s are those of differences", async (_what, net) => {
  const { groups } = await checkGradient(problem(net, 4), { gpu: gpu(), seed: 1 });
  expect(groups.map(({ group, verdict }) => `${group} ${verdict}`)).toEqual(
    ["lambda", "weight2", "scale2", "shift2"].map((group) => `${group} agrees`),
  );
});

test("a few examples are learned by heart", async () => {
  const { parameters } = await hypergradient(problem(tiny, 60), { gpu: gpu(), estimator: firstOrder() });
  const accuracy = await differentiate(gpu(), {
    parameters: { ...parameters, ...splitLayers(tiny.parameters, [2]).chosen },
    data: { x: images, y: labels },
    loss: (w, _hyper, { x, y }) => mean(correct(tiny.apply(w, x), y)),
  });
  expect([...(await accuracy.value())]).toEqual([1]);
  accuracy.destroy();
});
