import type { Shape } from "../../src/graph/shape.ts";
import { type Values, values } from "../../src/graph/values.ts";
import type { Operations } from "./operations.ts";

/** Names for tensors: x, y, z and c of w and α, r of random weights, labels and index of integers. */
type Name = "x" | "y" | "z" | "c" | "r" | "labels" | "index";
type Named<T> = Readonly<Partial<Record<Name, T>>>;

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

const every = (budget: number): Budget => ({ value: budget, gradient: budget, jvp: budget, hvp: budget });

/** 2⁻²⁴: float32 rounding. */
const rounding = 2 ** -24;

/** A handful of correctly rounded operations. */
const plain = every(16 * rounding);

const integers = (...numbers: number[]) => values(Int32Array.from(numbers));

type Unary = "exp" | "log" | "sqrt" | "sin" | "tanh" | "sigmoid" | "softplus" | "relu" | "square" | "cubic" | "neg";

/** One function of one tensor, under each kind of cotangent: one that α moves, a literal, and one that w moves. */
function unary(name: Unary, range: readonly [number, number], budget: Budget): Case[] {
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
      name: `${name} of one element, squared`,
      parameters: { x: [] },
      hyper: { c: [1] },
      range: { x: range, c: range },
      budget,
      loss: (o, { x, c }) => o.sum(o.square(o.mul(o[name](x), o[name](c)))),
    },
  ];
}

type Binary = "add" | "sub" | "mul" | "div";

/** Every way in which two shapes meet. */
const meetings: readonly (readonly [Shape, Shape])[] = [
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

/** x of w and y of α meet; the result is squared so that its cotangent moves with both, and weighted. */
function binary(name: Binary): Case[] {
  return meetings.map(([x, y], index) => ({
    name: `${name} [${x}] and [${y}]`,
    parameters: { x },
    hyper: { y },
    data: { r: x.length >= y.length && !(x.includes(1) && y.includes(1)) ? [] : [] },
    lanes: index % 3 === 2 ? 3 : 1,
    range: { x: [0.5, 2], y: [2.5, 4] },
    budget: plain,
    loss: (o, { x, y, r }) => o.sum(o.mul(r, o.square(o[name](x, y)))),
  }));
}
