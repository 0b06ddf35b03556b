import { type Pixels, pixels } from "../../../src/graph/pixels.ts";
import { type Shape, size } from "../../../src/graph/shape.ts";
import { type Case, integers, labels, plain } from "./case.ts";

/** All bytes come up, dark and light ones side by side. */
const drawn = (shape: Shape): Pixels =>
  pixels(
    Uint8Array.from({ length: size(shape) }, (_, i) => (i * 89 + 7) % 256),
    shape,
  );

/** Rows of whole words and others, more than a tile of them and one, from a word's start and from within. */
const layers = (
  [
    [9, 12, 5],
    [70, 20, 10],
    [6, 7, 3],
    [1, 8, 2],
    [5, 1, 4],
  ] as const
).map(
  ([n, inputs, outputs]): Case => ({
    name: `dense layer on pixels ${n}×${inputs}, ${outputs} outputs`,
    parameters: { x: [outputs, inputs], z: [outputs] },
    hyper: { c: [n, 1] },
    data: { r: drawn([n, inputs]) },
    lanes: n < 50 ? 3 : 1,
    budget: plain,
    loss: (o, { x, z, c, r }) => o.sum(o.mul(c, o.tanh(o.dense(r, x, z)))),
  }),
);

/** Data that is kept as bytes: read as such by products, convolutions and gathers, and as floats by all else. */
export const pixelCases: readonly Case[] = [
  ...layers,
  {
    name: "pixels as the transposed left factor",
    parameters: { x: [6, 5] },
    hyper: { c: [8, 5] },
    data: { r: drawn([6, 8]) },
    lanes: 2,
    budget: plain,
    loss: (o, { x, c, r }) => o.sum(o.mul(c, o.square(o.matmul(r, x, { transposeA: true })))),
  },
  {
    name: "pixels as the right factor, and as it stands transposed",
    parameters: { x: [3, 8] },
    data: { r: drawn([8, 12]) },
    budget: plain,
    loss: (o, { x, r }) => o.sum(o.square(o.matmul(o.matmul(x, r), r, { transposeB: true }))),
  },
  {
    name: "pixels on both sides",
    parameters: { x: [6, 6] },
    data: { r: drawn([6, 8]) },
    budget: plain,
    loss: (o, { x, r }) => o.sum(o.mul(o.square(x), o.matmul(r, r, { transposeB: true }))),
  },
  {
    name: "classifier of rows of pixels from the third on",
    parameters: { x: [4, 6], z: [4] },
    hyper: { c: [5] },
    data: { r: drawn([7, 6]), labels: labels(5, 4) },
    lanes: 2,
    budget: plain,
    loss: (o, { x, z, c, r, labels }) =>
      o.sum(o.mul(o.sigmoid(c), o.crossEntropy(o.dense(o.slice(r, 2, 7), x, z), labels))),
  },
  ...[
    { inputs: 8, from: 0 },
    { inputs: 8, from: 4 },
    { inputs: 8, from: 3 },
    { inputs: 5, from: 0 },
  ].map(
    ({ inputs, from }): Case => ({
      name: `dense layer on some rows of pixels ${inputs} wide, from the pixel ${from} on`,
      parameters: { x: [3, inputs] },
      data: { r: drawn([from + 9 * inputs]), index: integers(4, 0, 8, 4) },
      lanes: 2,
      budget: plain,
      loss: (o, { x, r, index }) => {
        const rows = o.reshape(o.slice(r, from, from + 9 * inputs), [9, inputs]);
        return o.sum(o.square(o.dense(o.gather(rows, index), x)));
      },
    }),
  ),
  ...[
    { c: 1, side: 6, stride: 1 },
    { c: 3, side: 5, stride: 2 },
  ].map(
    ({ c, side, stride }): Case => ({
      name: `convolution of pixels ${c}×${side}×${side}, stride ${stride}`,
      parameters: { x: [4, c, 3, 3], z: [4] },
      data: { r: drawn([2, c, side, side]) },
      lanes: 2,
      budget: plain,
      loss: (o, { x, z, r }) => o.sum(o.square(o.conv2d(r, x, { stride, padding: 1, bias: z }))),
    }),
  ),
  {
    name: "operations on pixels that read floats",
    parameters: { x: [5, 6] },
    data: { r: drawn([5, 6]) },
    budget: plain,
    loss: (o, { x, r }) => o.add(o.sum(o.mul(o.square(x), r)), o.sum(o.mul(x, o.square(r)))),
  },
];
