import { type Budget, type Case, integers, labels, plain, rounding } from "./case.ts";

/** Sums of products come before it. */
const layered: Budget = {
  value: 8 * rounding,
  gradient: 24 * rounding,
  jvp: 8 * rounding,
  hvp: 32 * rounding,
};

export const crossEntropyCases: readonly Case[] = [
  ...(
    [
      [1, 1],
      [5, 1],
      [7, 2],
      [3, 10],
      [2, 8],
      [2, 16],
      [2, 17],
      [70, 37],
    ] as const
  ).flatMap(([rows, classes]): Case[] => [
    {
      name: `cross-entropy of ${rows}×${classes}, weighted by α`,
      parameters: { x: [rows, classes] },
      hyper: { c: [rows] },
      data: { labels: labels(rows, classes) },
      lanes: rows === 7 ? 3 : 1,
      budget: plain,
      loss: (o, { x, c, labels }) => o.sum(o.mul(o.square(c), o.crossEntropy(x, labels))),
    },
    {
      name: `cross-entropy of ${rows}×${classes}, plain sum`,
      parameters: { x: [rows, classes] },
      data: { labels: labels(rows, classes) },
      lanes: rows === 3 ? 3 : 1,
      budget: plain,
      loss: (o, { x, labels }) => o.sum(o.crossEntropy(x, labels)),
    },
  ]),
  {
    name: "cross-entropy, squared, of logits from w and α",
    parameters: { x: [6, 5] },
    hyper: { y: [5] },
    data: { labels: labels(6, 5), r: [6] },
    budget: plain,
    loss: (o, { x, y, r, labels }) => o.sum(o.mul(r, o.square(o.crossEntropy(o.add(x, y), labels)))),
  },
  {
    name: "cross-entropy under a cotangent that does not move",
    parameters: { x: [6, 5] },
    data: { labels: labels(6, 5), r: [6] },
    budget: plain,
    loss: (o, { x, r, labels }) => o.sum(o.mul(r, o.crossEntropy(x, labels))),
  },
  {
    name: "cross-entropy of logits to ±80",
    parameters: { x: [9, 6] },
    hyper: { c: [9] },
    data: { labels: labels(9, 6) },
    lanes: 3,
    range: { x: [-80, 80] },
    budget: plain,
    loss: (o, { x, c, labels }) => o.sum(o.mul(c, o.crossEntropy(x, labels))),
  },
  {
    name: "cross-entropy of logits that begin within a vector",
    parameters: { x: [13] },
    hyper: { c: [3] },
    data: { labels: labels(3, 4) },
    lanes: 3,
    budget: plain,
    loss: (o, { x, c, labels }) =>
      o.sum(o.mul(c, o.crossEntropy(o.reshape(o.slice(x, 1, 13), [3, 4]), labels))),
  },
  // In the kernel of the product, where its threads hold whole rows.
  ...(
    [
      [1, 1, 1],
      [7, 3, 2],
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
    name: "cross-entropy of gathered examples",
    parameters: { x: [5, 4] },
    hyper: { c: [5] },
    data: { labels: labels(5, 4), index: integers(4, 1, 1, 0) },
    budget: plain,
    loss: (o, { x, c, labels, index }) =>
      o.sum(o.mul(o.gather(c, index), o.crossEntropy(o.gather(x, index), o.gather(labels, index)))),
  },
];
