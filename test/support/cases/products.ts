import type { Shape } from "../../../src/graph/shape.ts";
import { type Case, labels, plain } from "./case.ts";

/** Stored shape of a matrix that is m×n after its transposition. */
const stored = (m: number, n: number, transposed: boolean): Shape => (transposed ? [n, m] : [m, n]);

const transpositions = [false, true].flatMap((transposeA) =>
  [false, true].map((transposeB) => ({ transposeA, transposeB })),
);

/** m×k times k×n: with a bias under a cotangent that moves, or without under one that does not. */
function product(
  m: number,
  k: number,
  n: number,
  transposed: (typeof transpositions)[number],
  biased: boolean,
): Case {
  const { transposeA, transposeB } = transposed;
  const name = `matmul ${m}×${k}${transposeA ? "ᵀ" : ""} · ${k}×${n}${transposeB ? "ᵀ" : ""}`;
  const x = stored(m, k, transposeA);
  const factors = {
    hyper: { y: stored(k, n, transposeB) },
    lanes: m * n < 100 ? 3 : 1,
    budget: plain,
  };
  return biased
    ? {
        name: `${name} + bias, squared`,
        ...factors,
        parameters: { x, z: [n] },
        loss: (o, { x, y, z }) => o.sum(o.square(o.matmul(x, y, { ...transposed, bias: z }))),
      }
    : {
        name: `${name}, weighted`,
        ...factors,
        parameters: { x },
        data: { r: [m, n] },
        loss: (o, { x, y, r }) => o.sum(o.mul(r, o.matmul(x, y, transposed))),
      };
}

const products: Case[] = transpositions.flatMap((transposed) => [
  product(1, 1, 1, transposed, true),
  product(1, 1, 1, transposed, false),
  product(3, 7, 2, transposed, true),
  product(3, 7, 2, transposed, false),
  // Odd sizes over several tiles. One a transposition: lavapipe takes seconds to compile each kernel.
  transposed.transposeA === transposed.transposeB
    ? product(65, 33, 10, transposed, transposed.transposeA)
    : product(17, 5, 129, transposed, transposed.transposeA),
]);

const dense: Case[] = [
  {
    name: "dense layer on data, bias of α",
    parameters: { x: [5, 7] },
    hyper: { z: [5] },
    data: { r: [70, 7] },
    lanes: 3,
    budget: plain,
    loss: (o, { x, z, r }) => o.sum(o.tanh(o.dense(r, x, z))),
  },
  {
    name: "dense layer, plain sum",
    parameters: { x: [5, 7] },
    data: { r: [9, 7] },
    budget: plain,
    loss: (o, { x, r }) => o.square(o.sum(o.dense(r, x))),
  },
  {
    name: "weighted examples of a linear classifier",
    parameters: { x: [10, 12], z: [10] },
    hyper: { c: [40] },
    data: { r: [40, 12], labels: labels(40, 10) },
    budget: plain,
    loss: (o, { x, z, c, r, labels }) =>
      o.add(
        o.scale(1 / 32, o.sum(o.mul(o.sigmoid(c), o.crossEntropy(o.dense(r, x, z), labels)))),
        o.scale(2 ** -10, o.squaredNorm({ x, z })),
      ),
  },
  {
    name: "matrix times itself, transposed",
    parameters: { x: [6, 9] },
    hyper: { c: [6, 6] },
    budget: plain,
    loss: (o, { x, c }) => o.sum(o.mul(c, o.sin(o.matmul(x, x, { transposeB: true })))),
  },
];

/** For the kernels of GPUs: several tiles. */
export const variedProducts: readonly Case[] = products.filter(({ name }) => /65×33|129/.test(name));

export const productCases: readonly Case[] = [...products, ...dense];
