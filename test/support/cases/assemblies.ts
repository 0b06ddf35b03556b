import { type Case, plain } from "./case.ts";

/** How tensors are put together: whole and in part, several times, not at all. */
export const assemblyCases: readonly Case[] = [
  {
    name: "a parameter that the loss does not use",
    parameters: { x: [5], y: [3] },
    hyper: { c: [4], z: [2] },
    lanes: 3,
    budget: plain,
    loss: (o, { x, c }) => o.add(o.sum(o.square(x)), o.sum(o.cubic(c))),
  },
  {
    name: "hyperparameters that the loss does not use",
    parameters: { x: [67] },
    hyper: { c: [4] },
    budget: plain,
    loss: (o, { x }) => o.sum(o.cubic(x)),
  },
  {
    name: "gradients that are leaves themselves",
    parameters: { x: [67] },
    hyper: { c: [67] },
    lanes: 3,
    budget: plain,
    loss: (o, { x, c }) => o.sum(o.mul(x, c)),
  },
  {
    name: "a linear loss, whose products with H are zero",
    parameters: { x: [67] },
    hyper: { c: [3] },
    data: { r: [67] },
    budget: plain,
    loss: (o, { x, c, r }) => o.sub(o.sum(o.mul(r, x)), o.sum(c)),
  },
  {
    name: "a loss that is a leaf",
    parameters: { x: [] },
    hyper: { c: [] },
    lanes: 3,
    budget: plain,
    loss: (_o, { x }) => x,
  },
  {
    name: "slices that overlap",
    parameters: { x: [10, 3] },
    hyper: { c: [4, 3] },
    lanes: 3,
    budget: plain,
    loss: (o, { x, c }) =>
      o.sum(
        o.mul(
          o.mul(c, o.slice(x, 0, 4)),
          o.add(o.cubic(o.slice(x, 2, 6)), o.mul(o.slice(x, 5, 9), o.slice(x, 2, 6))),
        ),
      ),
  },
  {
    name: "a tensor as a whole, in part, and reshaped",
    parameters: { x: [6, 4], y: [24] },
    hyper: { c: [2, 12] },
    budget: plain,
    loss: (o, { x, y, c }) =>
      o.add(
        o.add(o.sum(o.cubic(x)), o.sum(o.mul(c, o.mul(o.reshape(x, [2, 12]), o.reshape(y, [2, 12]))))),
        o.mul(o.sum(o.slice(x, 1, 2)), o.sum(o.square(o.slice(o.reshape(x, [-1]), 3, 11)))),
      ),
  },
  {
    name: "parts of a computed tensor",
    parameters: { x: [8, 4] },
    hyper: { c: [8, 4] },
    budget: plain,
    loss: (o, { x, c }) => {
      const h = o.mul(o.sin(x), c);
      return o.add(o.sum(o.mul(o.slice(h, 0, 3), o.slice(h, 4, 7))), o.sum(o.square(o.slice(h, 6, 8))));
    },
  },
  {
    name: "seven uses of one tensor",
    parameters: { x: [67] },
    hyper: { c: [67] },
    budget: plain,
    loss: (o, { x, c }) =>
      [o.sin(x), o.square(x), o.cubic(x), o.mul(x, c), o.neg(x), o.exp(x), o.div(c, o.exp(x))]
        .map((term) => o.sum(term))
        .reduce((p, q) => o.add(p, q)),
  },
];
