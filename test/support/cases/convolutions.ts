import { type Case, integers, plain } from "./case.ts";

export interface ConvShape {
  images: [n: number, c: number, h: number, w: number];
  kernel: [o: number, kh: number, kw: number];
  stride?: number;
  padding?: number;
}

/** Size 1; kernels as large as the image; strides that leave a rest; more columns and channels than one tile has. */
export const convShapes: readonly ConvShape[] = [
  { images: [1, 1, 1, 1], kernel: [1, 1, 1] },
  { images: [1, 1, 3, 3], kernel: [1, 3, 3] },
  { images: [2, 3, 5, 4], kernel: [2, 3, 3], padding: 1 },
  { images: [2, 2, 7, 6], kernel: [3, 3, 2], stride: 2, padding: 1 },
  { images: [1, 2, 9, 8], kernel: [4, 2, 3], stride: 3 },
  { images: [7, 1, 4, 19], kernel: [5, 3, 5], padding: 2 },
  { images: [2, 4, 5, 11], kernel: [16, 3, 3], stride: 2, padding: 1 },
  { images: [1, 2, 6, 6], kernel: [2, 1, 1], stride: 2 },
  { images: [1, 1, 3, 2], kernel: [2, 4, 4], padding: 2, stride: 4 },
];

const nameOf = ({ images: [n, c, h, w], kernel: [o, kh, kw], stride = 1, padding = 0 }: ConvShape) =>
  `conv2d ${n}×${c}×${h}×${w} to ${o} by ${kh}×${kw}, stride ${stride}, padding ${padding}`;

const convolutions: readonly Case[] = convShapes.flatMap((shape, index): Case[] => {
  const { images, kernel, stride, padding } = shape;
  const [o, kh, kw] = kernel;
  const weight = [o, images[1], kh, kw];
  const options = { stride, padding };
  const lanes = index % 2 === 0 ? 1 : 3;
  return [
    {
      // The images are α, so that the product moves with both factors, and the square makes the cotangent move too.
      name: `${nameOf(shape)}, bias, squared, ${lanes} lanes`,
      parameters: { x: weight, z: [o] },
      hyper: { c: images },
      lanes,
      budget: plain,
      loss: (ops, { x, z, c }) => ops.sum(ops.square(ops.conv2d(c, x, { ...options, bias: z }))),
    },
    {
      name: `${nameOf(shape)} of data`,
      parameters: { x: weight },
      data: { r: images },
      budget: plain,
      loss: (ops, { x, r }) => ops.sum(ops.square(ops.conv2d(r, x, options))),
    },
  ];
});

const pooling: Case[] = (["maxPool", "avgPool"] as const).flatMap((name): Case[] =>
  [
    { shape: [1, 1, 1, 1], size: 1 },
    { shape: [2, 3, 6, 4], size: 2 },
    { shape: [2, 1, 7, 5], size: 2 },
    { shape: [1, 2, 7, 6], size: 3, stride: 2, padding: 1 },
    { shape: [1, 2, 5, 9], size: 2, stride: 3 },
    { shape: [1, 1, 4, 4], size: 4, stride: 1, padding: 3 },
    { shape: [2, 2, 18, 16], size: 2 },
    // Vectors that two windows share, rows that are left over, and windows too large to be written out.
    { shape: [1, 2, 6, 12], size: 3 },
    { shape: [1, 1, 8, 16], size: 4 },
    { shape: [1, 2, 7, 8], size: 2 },
    { shape: [1, 1, 10, 5], size: 5 },
  ].map(({ shape, ...options }, index) => ({
    name: `${name} of ${shape.join("×")}, size ${options.size}, stride ${options.stride ?? options.size}`,
    parameters: { x: shape },
    hyper: { c: [1] },
    lanes: index % 2 === 0 ? 3 : 1,
    budget: plain,
    loss: (ops, { x, c }) => ops.sum(ops.square(ops.mul(c, ops[name](x, options)))),
  })),
);

/** relu makes many equal elements: the first of a window is taken by value, gradient, jvp and hvp alike. */
const ties: Case = {
  name: "maxPool of equal elements",
  parameters: { x: [2, 2, 8, 8] },
  hyper: { c: [2, 2, 4, 4] },
  lanes: 2,
  budget: plain,
  loss: (ops, { x, c }) => ops.sum(ops.mul(c, ops.square(ops.maxPool(ops.add(1, ops.relu(x)), { size: 2 })))),
};

const network: Case = {
  name: "weighted examples of a small convolutional network",
  parameters: { x: [4, 1, 3, 3], y: [2, 36], z: [4] },
  hyper: { c: [5] },
  data: { r: [5, 1, 6, 6], labels: integers(0, 1, 0, 1, 0) },
  lanes: 2,
  budget: plain,
  loss: (ops, { x, y, z, c, r, labels }) => {
    const features = ops.maxPool(ops.tanh(ops.conv2d(r, x, { padding: 1, bias: z })), { size: 2 });
    const logits = ops.dense(ops.reshape(features, [5, 36]), y);
    return ops.sum(ops.mul(ops.sigmoid(c), ops.crossEntropy(logits, labels)));
  },
};

/** For the kernels of GPUs, which take long to compile elsewhere: lanes, and sums in parts. */
export const variedConvolutions: readonly Case[] = convolutions.filter(({ name }) =>
  /2×2×7×6.*squared|7×1×4×19.*data/.test(name),
);

export const convolutionCases: readonly Case[] = [...convolutions, ...pooling, ties, network];
