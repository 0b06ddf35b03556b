import type { Shape } from "../../src/graph/shape.ts";
import { type Values, values } from "../../src/graph/values.ts";
import { batchNormCases } from "./batch_norm_cases.ts";
import { convCases, variedConvolutions } from "./conv_cases.ts";
import type { Operations } from "./operations.ts";

/** Names for tensors: x, y, z and c of w and α, r of random weights, labels and index of integers. */
type Name = "x" | "y" | "z" | "c" | "r" | "labels" | "index";
type Named<T> = Readonly<Record<string, T>>;

/**
 * Largest errors allowed. Vectors: the norm of the error over the norm of the exact vector, for each named tensor.
 * Scalars, which may cancel: value over |L| + ‖∇L‖ ‖z‖, jvp over ‖∇L‖ ‖ż‖.
 */
export interface Budget {
  readonly value: number;
  readonly gradient: number;
  readonly jvp: number;
  readonly hvp: number;
}

/** A scalar function of w and α that puts one operation to the test. */
export interface Case {
  readonly name: string;
  /** The shapes of w. */
  readonly parameters: Named<Shape>;
  /** The shapes of α. */
  readonly hyper?: Named<Shape>;
  /** Given integers, or the shape of random weights in [0.5, 1.5]. */
  readonly data?: Named<Values | Shape>;
  readonly lanes?: number;
  /** Where inputs lie; [-1.5, 1.5] unless told. */
  readonly range?: Named<readonly [number, number]>;
  readonly budget: Budget;
  loss<T>(operations: Operations<T>, inputs: Readonly<Record<Name, T>>): T;
}

/** 2⁻²⁴: float32 rounding. */
const rounding = 2 ** -24;

/** A handful of well-rounded operations. Scalars are sums, in which errors average out. */
const plain: Budget = { value: 4 * rounding, gradient: 16 * rounding, jvp: 4 * rounding, hvp: 16 * rounding };

/** exp(-60) costs what 60 roundings do: measured 1.6e-6 on lavapipe and on SwiftShader. */
const tails: Budget = { ...plain, gradient: 64 * rounding, hvp: 64 * rounding };

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

const integers = (...numbers: number[]) => values(Int32Array.from(numbers));

type Unary =
  | "exp"
  | "log"
  | "sqrt"
  | "sin"
  | "tanh"
  | "sigmoid"
  | "softplus"
  | "relu"
  | "square"
  | "cubic"
  | "neg";

/** A function of one tensor, under each kind of cotangent: one that α moves, a literal, and one that w moves. */
function unary(name: Unary, range: readonly [number, number], budget = plain): Case[] {
  return [
    {
      name: `${name}, weighted by α`,
      parameters: { x: [131] },
      hyper: { c: [131] },
      range: { x: range },
      budget,
      loss: (o, { x, c }) => o.sum(o.mul(c, o[name](x))),
    },
    {
      name: `${name}, plain sum, 3 lanes`,
      parameters: { x: [3, 5] },
      lanes: 3,
      range: { x: range },
      budget,
      loss: (o, { x }) => o.sum(o[name](x)),
    },
    {
      name: `${name} of single elements, squared, 5 lanes`,
      parameters: { x: [] },
      hyper: { c: [1] },
      lanes: 5,
      range: { x: range, c: range },
      budget,
      loss: (o, { x, c }) => o.sum(o.square(o.add(o[name](x), o[name](c)))),
    },
  ];
}

type Binary = "add" | "sub" | "mul" | "div";

/** Ways in which two shapes meet: equal, against a scalar, along leading, trailing and middle axes. */
const meetings: readonly (readonly [x: Shape, y: Shape])[] = [
  [[], []],
  [[1], [1]],
  [
    [9, 11],
    [9, 11],
  ],
  [[9, 11], []],
  [[], [9, 11]],
  [[9, 11], [11]],
  [[11], [9, 11]],
  [
    [9, 11],
    [9, 1],
  ],
  [
    [9, 1],
    [1, 11],
  ],
  [
    [3, 4, 7],
    [3, 1, 7],
  ],
  [
    [1, 4, 1],
    [3, 1, 7],
  ],
  [
    [2, 3, 4, 5],
    [3, 1, 5],
  ],
];

/** x of w and y of α meet. The square makes the cotangent move with both. */
function binary(name: Binary): Case[] {
  return meetings.map(([x, y], index) => ({
    name: `${name} [${x}] and [${y}]`,
    parameters: { x },
    hyper: { y },
    // A derivative by a single number may cancel: lanes give it company.
    lanes: x.length === 0 || y.length === 0 ? 5 : index % 3 === 2 ? 3 : 1,
    range: { x: [0.5, 2], y: [2.5, 4] },
    budget: plain,
    loss: (o, { x, y }) => o.sum(o.square(o[name](x, y))),
  }));
}

/** An operation that moves or adds up elements of x; its result, squared, is weighted by α. */
function structural(
  name: string,
  [x, result]: readonly [x: Shape, result: Shape],
  operation: <T>(o: Operations<T>, x: T, inputs: Readonly<Record<Name, T>>) => T,
  options: Partial<Case> = {},
): Case {
  return {
    name,
    parameters: { x },
    hyper: { c: result },
    budget: plain,
    loss: (o, inputs) => o.sum(o.mul(inputs.c, o.square(operation(o, inputs.x, inputs)))),
    ...options,
  };
}

const elementwiseCases: Case[] = [
  ...unary("exp", [-3, 3]),
  ...unary("log", [0.05, 4]),
  ...unary("sqrt", [0.05, 4]),
  ...unary("sin", [-10, 10]),
  ...unary("tanh", [-4, 4]),
  ...unary("sigmoid", [-8, 8]),
  ...unary("softplus", [-8, 8]),
  ...unary("relu", [-2, 2]),
  ...unary("square", [-2, 2]),
  ...unary("cubic", [-2, 2]),
  ...unary("neg", [-2, 2]),
  ...(["tanh", "sigmoid", "softplus", "sin"] as const).map(
    (name): Case => ({
      name: `${name} of small and of large numbers`,
      parameters: { x: [32], y: [32] },
      hyper: { z: [32] },
      range: { x: [-1e-3, 1e-3], y: [-60, -20], z: [20, 60] },
      budget: tails,
      loss: (o, { x, y, z }) => o.add(o.sum(o[name](x)), o.add(o.sum(o[name](y)), o.sum(o[name](z)))),
    }),
  ),
];

const binaryCases: Case[] = [
  ...binary("add"),
  ...binary("sub"),
  ...binary("mul"),
  ...binary("div"),
  ...(["mul", "div"] as const).map(
    (name): Case => ({
      name: `${name} under a cotangent that does not move`,
      parameters: { x: [5, 13] },
      hyper: { y: [13] },
      data: { r: [5, 13] },
      range: { y: [1, 3] },
      budget: plain,
      loss: (o, { x, y, r }) => o.sum(o.mul(r, o[name](x, y))),
    }),
  ),
  {
    name: "numbers as operands",
    parameters: { x: [67] },
    hyper: { y: [67] },
    lanes: 3,
    range: { x: [0.5, 2], y: [0.5, 2] },
    budget: plain,
    loss: (o, { x, y }) =>
      o.sum(o.mul(o.div(1.5, o.add(x, 1)), o.mul(0.75, o.div(o.sub(2, o.mul(y, 3)), 8)))),
  },
  {
    name: "scale, folded and not",
    parameters: { x: [67] },
    hyper: { y: [67] },
    budget: plain,
    loss: (o, { x, y }) =>
      o.sum(o.mul(o.scale(-0.5, o.add(x, o.scale(0.25, y))), o.scale(3, o.neg(o.scale(2, o.square(x)))))),
  },
  {
    name: "a tensor against itself",
    parameters: { x: [9, 9] },
    hyper: { y: [9, 9] },
    range: { x: [0.5, 1.5], y: [0.5, 1.5] },
    budget: plain,
    loss: (o, { x, y }) =>
      o.sum(o.add(o.mul(o.mul(x, x), o.div(y, o.add(x, y))), o.sub(o.add(x, x), o.div(o.mul(y, x), y)))),
  },
];

const reductionCases: Case[] = [
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

const copyCases: Case[] = [
  structural(
    "reshape",
    [
      [6, 4],
      [3, 8],
    ],
    (o, x) => o.reshape(x, [3, -1]),
  ),
  structural(
    "reshape of a computed tensor",
    [
      [6, 4],
      [2, 2, 6],
    ],
    (o, x) => o.reshape(o.cubic(x), [2, -1, 6]),
  ),
  structural(
    "slice of axis 0",
    [
      [5, 4],
      [2, 4],
    ],
    (o, x) => o.slice(x, 1, 3),
  ),
  structural(
    "slice of axis 1 from its start",
    [
      [5, 4],
      [5, 2],
    ],
    (o, x) => o.slice(x, 0, 2, 1),
  ),
  structural(
    "slice of axis 1 to its end, 3 lanes",
    [
      [5, 4],
      [5, 3],
    ],
    (o, x) => o.slice(x, 1, 4, 1),
    { lanes: 3 },
  ),
  structural(
    "slice of the middle axis",
    [
      [3, 9, 5],
      [3, 4, 5],
    ],
    (o, x) => o.slice(x, 2, 6, 1),
  ),
  structural(
    "slice of axis -1",
    [
      [3, 4, 9],
      [3, 4, 1],
    ],
    (o, x) => o.slice(x, 7, 8, -1),
  ),
  structural(
    "slice of all of axis 1",
    [
      [5, 4],
      [5, 4],
    ],
    (o, x) => o.slice(x, 0, 4, 1),
  ),
  structural(
    "slice of a computed tensor",
    [
      [5, 4],
      [3, 4],
    ],
    (o, x) => o.slice(o.cubic(x), 2, 5),
  ),
  structural(
    "transpose",
    [
      [5, 17],
      [17, 5],
    ],
    (o, x) => o.transpose(x),
    { lanes: 3 },
  ),
  structural(
    "transpose of 3 axes",
    [
      [3, 4, 7],
      [7, 4, 3],
    ],
    (o, x) => o.transpose(x),
  ),
  structural(
    "transpose, axes 2 0 1",
    [
      [3, 4, 7],
      [7, 3, 4],
    ],
    (o, x) => o.transpose(x, [2, 0, 1]),
  ),
  structural(
    "transpose, axes 1 0 2",
    [
      [3, 4, 7],
      [4, 3, 7],
    ],
    (o, x) => o.transpose(x, [1, 0, -1]),
  ),
  structural("transpose of a vector", [[67], [67]], (o, x) => o.transpose(x)),
  structural(
    "gather of rows",
    [
      [5, 3],
      [7, 3],
    ],
    (o, x, { index }) => o.gather(x, index),
    {
      data: { index: integers(0, 4, 4, 2, 0, 0, 1) },
      lanes: 3,
    },
  ),
  structural("gather of elements", [[5], [4]], (o, x, { index }) => o.gather(x, index), {
    data: { index: integers(3, 3, 3, 0) },
  }),
  structural(
    "gather of planes",
    [
      [3, 4, 5],
      [2, 4, 5],
    ],
    (o, x, { index }) => o.gather(x, index),
    {
      data: { index: integers(2, 2) },
    },
  ),
  structural(
    "gather of a computed tensor",
    [
      [9, 9],
      [3, 9],
    ],
    (o, x, { index }) => o.gather(o.cubic(x), index),
    {
      data: { index: integers(8, 0, 8) },
    },
  ),
];

function labels(rows: number, classes: number): Values {
  return integers(...Array.from({ length: rows }, (_, row) => (row * 7 + 3) % classes));
}

const crossEntropyCases: Case[] = [
  ...(
    [
      [1, 1],
      [5, 1],
      [7, 2],
      [3, 10],
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
    name: "cross-entropy of gathered examples",
    parameters: { x: [5, 4] },
    hyper: { c: [5] },
    data: { labels: labels(5, 4), index: integers(4, 1, 1, 0) },
    budget: plain,
    loss: (o, { x, c, labels, index }) =>
      o.sum(o.mul(o.gather(c, index), o.crossEntropy(o.gather(x, index), o.gather(labels, index)))),
  },
];

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

const matmulCases: Case[] = transpositions.flatMap((transposed) => [
  product(1, 1, 1, transposed, true),
  product(1, 1, 1, transposed, false),
  product(3, 7, 2, transposed, true),
  product(3, 7, 2, transposed, false),
  // Odd sizes over several tiles. One a transposition: lavapipe takes seconds to compile each kernel.
  transposed.transposeA === transposed.transposeB
    ? product(65, 33, 10, transposed, transposed.transposeA)
    : product(17, 5, 129, transposed, transposed.transposeA),
]);

const denseCases: Case[] = [
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

/** How tensors are put together: whole and in part, several times, not at all. */
const assemblyCases: Case[] = [
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

/** Cases of operations that have other kernels on GPUs, which a machine without one tests too. */
export const variedCases: readonly Case[] = [
  ...reductionCases,
  ...matmulCases.filter(({ name }) => /65×33|129/.test(name)),
  ...variedConvolutions,
];

/** One table for correctness; what each operation must achieve stands beside it. */
export const cases: readonly Case[] = [
  ...elementwiseCases,
  ...binaryCases,
  ...reductionCases,
  ...copyCases,
  ...crossEntropyCases,
  ...matmulCases,
  ...denseCases,
  ...convCases,
  ...batchNormCases,
  ...assemblyCases,
];
