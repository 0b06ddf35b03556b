import { type Budget, type Case, plain, rounding, structural } from "./case.ts";

/**
 * Equal terms are rounded alike, so that errors add up: measured 6.4e-6 for hvp. One after another, without
 * blocks, a sum alone was off by 5e-5.
 */
const alike: Budget = {
  value: 16 * rounding,
  gradient: 64 * rounding,
  jvp: 16 * rounding,
  hvp: 256 * rounding,
};

export const reductionCases: readonly Case[] = [
  structural(
    "sum over axis 0",
    [
      [5, 3, 7],
      [3, 7],
    ],
    (o, x) => o.sum(x, 0),
  ),
  structural(
    "sum over axis 1, 3 lanes",
    [
      [5, 3, 7],
      [5, 7],
    ],
    (o, x) => o.sum(x, 1),
    { lanes: 3 },
  ),
  structural(
    "sum over axis -1",
    [
      [5, 3, 7],
      [5, 3],
    ],
    (o, x) => o.sum(x, -1),
  ),
  structural("sum over axes 0 and 2", [[5, 3, 7], [3]], (o, x) => o.sum(x, [0, 2])),
  structural("sum over axes 1 and 2", [[5, 3, 7], [5]], (o, x) => o.sum(x, [2, 1])),
  structural("sum over all axes", [[5, 3, 7], []], (o, x) => o.sum(x)),
  structural(
    "sum over an axis of length 1",
    [
      [5, 1, 7],
      [5, 7],
    ],
    (o, x) => o.sum(x, 1),
  ),
  structural("sum of rows as trees, 3 lanes", [[3, 201], [3]], (o, x) => o.sum(x, 1), { lanes: 3 }),
  structural("sum of columns as trees", [[201, 3], [3]], (o, x) => o.sum(x, 0)),
  structural("many short sums", [[1030, 2], [1030]], (o, x) => o.sum(x, 1)),
  {
    name: "many long sums",
    parameters: { x: [70] },
    hyper: { y: [] },
    data: { r: [1025, 1] },
    range: { x: [0.5, 1.5], y: [0.5, 1.5] },
    budget: plain,
    loss: (o, { x, y, r }) => o.sum(o.square(o.sum(o.mul(r, o.mul(x, y)), 1))),
  },
  {
    name: "sum of 5000 equal elements",
    parameters: { x: [] },
    hyper: { c: [] },
    budget: alike,
    loss: (o, { x, c }) => o.sum(o.mul(o.square(x), o.broadcastTo(c, [5000]))),
  },
  {
    name: "sum of 5000 elements",
    parameters: { x: [50, 1] },
    hyper: { y: [100] },
    budget: plain,
    loss: (o, { x, y }) => o.sum(o.square(o.mul(x, y))),
  },
  structural(
    "broadcast along a trailing axis",
    [
      [9, 1],
      [9, 11],
    ],
    (o, x) => o.broadcastTo(x, [9, 11]),
  ),
  structural("broadcast along a leading axis", [[11], [9, 11]], (o, x) => o.broadcastTo(x, [9, 11])),
  structural("broadcast of a scalar", [[], [9, 11]], (o, x) => o.broadcastTo(x, [9, 11]), { lanes: 3 }),
  structural(
    "broadcast along outer axes",
    [
      [1, 3, 1],
      [2, 3, 4],
    ],
    (o, x) => o.broadcastTo(x, [2, 3, 4]),
  ),
  structural(
    "broadcast to the same shape",
    [
      [2, 3],
      [2, 3],
    ],
    (o, x) => o.broadcastTo(x, [2, 3]),
  ),
  {
    name: "squared norm of one tensor",
    parameters: { x: [7, 11] },
    hyper: { c: [] },
    lanes: 3,
    budget: plain,
    loss: (o, { x, c }) => o.mul(c, o.squaredNorm(x)),
  },
  {
    name: "squared norm of everything, and of a part",
    parameters: { x: [7, 11], y: [5], z: [] },
    hyper: { c: [3], r: [2] },
    budget: plain,
    loss: (o, { x, y, z, c, r }) =>
      o.add(o.mul(o.squaredNorm({ x, y, z }), o.squaredNorm({ c, r })), o.squaredNorm({ x, z })),
  },
  {
    name: "squared norm of a computed tensor",
    parameters: { x: [300] },
    hyper: { y: [300] },
    budget: plain,
    loss: (o, { x, y }) => o.square(o.squaredNorm(o.mul(x, y))),
  },
];
