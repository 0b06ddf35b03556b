import type { Shape } from "../../../src/graph/shape.ts";
import { type Budget, type Case, plain, rounding } from "./case.ts";

/** exp(-60) costs what 60 roundings do: measured 1.6e-6 on lavapipe and on SwiftShader. */
const tails: Budget = { ...plain, gradient: 64 * rounding, hvp: 64 * rounding };
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
  // Four neighbours at once: with an element in common, and with two.
  [
    [9, 8],
    [9, 1],
  ],
  [
    [4, 6],
    [4, 1],
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

const functions: Case[] = [
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

const binaries: Case[] = [
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
    name: "a slice that begins within a vector, 3 lanes",
    parameters: { x: [13] },
    hyper: { y: [8] },
    lanes: 3,
    budget: plain,
    loss: (o, { x, y }) => o.sum(o.square(o.mul(o.slice(x, 1, 9), y))),
  },
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

export const elementwiseCases: readonly Case[] = [...functions, ...binaries];
