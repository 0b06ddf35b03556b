import { type Case, integers, labels, plain } from "./case.ts";

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
