import { type Budget, type Case, labels, rounding } from "./case.ts";

/** Several layers of sums. */
const layered: Budget = {
  value: 8 * rounding,
  gradient: 32 * rounding,
  jvp: 8 * rounding,
  hvp: 48 * rounding,
};

/** A layer with an activation, for products whose kernels go on with their output. */
const activations = (["tanh", "relu", "cubic"] as const).map(
  (activation): Case => ({
    name: `${activation} between two layers`,
    parameters: { x: [6, 5], y: [4, 6], z: [6] },
    hyper: { c: [9, 4] },
    data: { r: [9, 5] },
    lanes: 3,
    budget: layered,
    loss: (o, { x, y, z, c, r }) => o.sum(o.mul(c, o.square(o.dense(o[activation](o.dense(r, x, z)), y)))),
  }),
);

/** Operations on the elements or the rows of what a product, a convolution or a pool has computed. */
export const followerCases: readonly Case[] = [
  ...activations,
  {
    name: "an elementwise operation on a product, weighted by one element a row",
    parameters: { x: [8, 3] },
    hyper: { y: [3, 7], c: [8, 1] },
    lanes: 2,
    budget: layered,
    loss: (o, { x, y, c }) => {
      const hidden = o.mul(c, o.sigmoid(o.matmul(x, y)));
      return o.add(o.sum(o.square(o.matmul(hidden, hidden, { transposeA: true }))), o.sum(hidden));
    },
  },
  // Gradients that are pieces of one vector, some of them made by followers, some by companions.
  {
    name: "a layer with a penalty on its weights, and a bias",
    parameters: { x: [4, 5], z: [4] },
    data: { r: [6, 5] },
    budget: layered,
    loss: (o, { x, z, r }) => o.add(o.sum(o.square(o.tanh(o.dense(r, x, z)))), o.sum(o.square(x))),
  },
  {
    name: "a layer whose weights are made of two parameters, and a bias",
    parameters: { x: [4, 5], y: [4, 5], z: [4] },
    data: { r: [6, 5] },
    lanes: 2,
    budget: layered,
    loss: (o, { x, y, z, r }) => o.sum(o.square(o.tanh(o.dense(r, o.mul(o.scale(0.5, x), y), z)))),
  },
  {
    name: "two products with a reader in common",
    parameters: { x: [6, 5], y: [5, 5] },
    data: { r: [5, 5] },
    budget: layered,
    loss: (o, { x, y, r }) => {
      const [a, b] = [o.matmul(x, r), o.matmul(x, y)];
      const [both, one] = [o.add(a, b), o.relu(b)];
      return o.add(o.sum(o.square(o.matmul(both, r))), o.sum(o.square(o.matmul(one, r))));
    },
  },
  {
    name: "a covariance, which reads the sums beside its product",
    parameters: { x: [6, 5] },
    data: { r: [5, 5] },
    budget: layered,
    loss: (o, { x, r }) => {
      const sums = o.sum(x, 0);
      const centred = o.sub(o.matmul(x, x, { transposeA: true }), o.mul(o.reshape(sums, [5, 1]), sums));
      return o.sum(o.square(o.matmul(centred, r)));
    },
  },
  {
    name: "a product of what is made of the sums of its factor",
    parameters: { x: [6, 5] },
    budget: layered,
    loss: (o, { x }) => o.sum(o.square(o.matmul(x, o.tanh(o.sub(x, o.sum(x, 0))), { transposeA: true }))),
  },
  {
    name: "two readers of one product",
    parameters: { x: [4, 3], y: [3, 4] },
    hyper: { c: [4, 4] },
    budget: layered,
    loss: (o, { x, y, c }) => {
      const product = o.matmul(x, y);
      return o.sum(o.mul(o.matmul(o.tanh(product), o.mul(c, product)), product));
    },
  },
  ...(
    [
      [1, 1, 1],
      [7, 3, 2],
      [23, 6, 10],
      [70, 20, 4],
    ] as const
  ).map(
    ([rows, inputs, classes]): Case => ({
      name: `cross-entropy of a layer [${rows}×${inputs}]·[${inputs}×${classes}]`,
      parameters: { y: [classes, inputs], z: [classes] },
      hyper: { x: [rows, inputs], c: [rows] },
      data: { labels: labels(rows, classes) },
      lanes: rows === 7 ? 3 : 1,
      range: { y: [-0.2, 0.2] },
      budget: layered,
      loss: (o, { x, y, z, c, labels }) =>
        o.sum(o.mul(o.square(c), o.crossEntropy(o.dense(x, y, z), labels))),
    }),
  ),
  {
    name: "cross-entropy of a layer whose logits are read elsewhere too",
    parameters: { y: [4, 3], z: [4] },
    hyper: { x: [9, 3], c: [9, 4] },
    data: { labels: labels(9, 4) },
    budget: layered,
    loss: (o, { x, y, z, c, labels }) => {
      const logits = o.dense(x, y, z);
      return o.add(o.sum(o.crossEntropy(logits, labels)), o.sum(o.mul(c, o.square(logits))));
    },
  },
  {
    name: "cross-entropy of a layer, squared, so that its cotangent waits for it",
    parameters: { y: [4, 3], z: [4] },
    hyper: { x: [9, 3] },
    data: { labels: labels(9, 4), r: [9] },
    lanes: 3,
    budget: layered,
    loss: (o, { x, y, z, r, labels }) => o.sum(o.mul(r, o.square(o.crossEntropy(o.dense(x, y, z), labels)))),
  },
  {
    name: "cross-entropy of a layer without a bias, its mean",
    parameters: { x: [9, 5] },
    hyper: { y: [5, 3] },
    data: { labels: labels(9, 3) },
    lanes: 3,
    budget: layered,
    loss: (o, { x, y, labels }) => o.scale(1 / 9, o.sum(o.crossEntropy(o.matmul(x, y), labels))),
  },
  {
    name: "relu between two convolutions",
    parameters: { x: [2, 1, 3, 3], y: [3, 2, 2, 2], z: [2] },
    hyper: { c: [2, 3, 3, 5] },
    data: { r: [2, 1, 4, 6] },
    lanes: 2,
    budget: layered,
    loss: (o, { x, y, z, c, r }) => {
      const hidden = o.relu(o.conv2d(r, x, { padding: 1, bias: z }));
      return o.sum(o.mul(c, o.square(o.conv2d(hidden, y))));
    },
  },
  ...(["maxPool", "avgPool"] as const).flatMap((pool) =>
    [{ size: 2 }, { size: 3, stride: 2, padding: 1 }].map(
      (options): Case => ({
        name: `${pool} by ${options.size}, then tanh, between convolutions`,
        parameters: { x: [2, 1, 3, 3], y: [2, 2, 1, 1] },
        hyper: { z: [2] },
        data: { r: [2, 1, 6, 8] },
        lanes: 2,
        budget: layered,
        loss: (o, { x, y, z, r }) => {
          const images = o.conv2d(r, x, { padding: 1, bias: z });
          return o.sum(o.square(o.conv2d(o.tanh(o[pool](o.relu(images), options)), y)));
        },
      }),
    ),
  ),
];
