import { type Budget, type Case, integers, rounding } from "./case.ts";

/** A dozen operations one after another. */
const chain: Budget = {
  value: 4 * rounding,
  gradient: 32 * rounding,
  jvp: 8 * rounding,
  hvp: 32 * rounding,
};

/** The weights c and r keep apart what would cancel: the squares of a normalized channel add up to a constant. */
const normalizations: Case[] = [
  {
    name: "batchNorm of 7×5",
    parameters: { x: [7, 5] },
    hyper: { c: [7, 5] },
    budget: chain,
    loss: (ops, { x, c }) => ops.sum(ops.mul(c, ops.square(ops.batchNorm(x, { epsilon: 0.1 })))),
  },
  {
    name: "batchNorm of 4×3×5×2, 3 lanes",
    parameters: { x: [4, 3, 5, 2] },
    hyper: { c: [4, 3, 5, 2] },
    lanes: 3,
    budget: chain,
    loss: (ops, { x, c }) => ops.sum(ops.mul(c, ops.square(ops.batchNorm(x)))),
  },
  {
    name: "batchNorm of 1×2×3×4 of α, scale and shift",
    parameters: { x: [2], y: [2] },
    hyper: { c: [1, 2, 3, 4] },
    data: { r: [1, 2, 3, 4] },
    budget: chain,
    loss: (ops, { x, y, c, r }) =>
      ops.sum(ops.mul(r, ops.cubic(ops.batchNorm(c, { scale: x, shift: y, epsilon: 0.1 })))),
  },
];

const still: Case = {
  name: "batchNorm of a channel that does not vary",
  parameters: { x: [3, 2, 2, 2], y: [2] },
  hyper: { c: [3, 2, 2, 2] },
  budget: chain,
  loss: (ops, { x, y, c }) =>
    ops.sum(ops.mul(c, ops.square(ops.batchNorm(ops.relu(ops.sub(x, 4)), { shift: y })))),
};

const network: Case = {
  name: "weighted examples of a small convolutional network with batchNorm",
  parameters: { x: [3, 1, 3, 3], y: [2, 12], z: [3], r: [3] },
  hyper: { c: [4] },
  data: { index: [4, 1, 4, 4], labels: integers(0, 1, 1, 0) },
  range: { z: [0.5, 1.5] },
  budget: chain,
  loss: (ops, { x, y, z, r, c, index, labels }) => {
    const maps = ops.batchNorm(ops.conv2d(index, x, { padding: 1 }), { scale: z, shift: r });
    const logits = ops.dense(ops.reshape(ops.avgPool(ops.tanh(maps), { size: 2 }), [4, 12]), y);
    return ops.sum(ops.mul(ops.sigmoid(c), ops.crossEntropy(logits, labels)));
  },
};

export const batchNormCases: readonly Case[] = [...normalizations, still, network];
