import type { DataValues } from "../../../src/graph/pixels.ts";
import type { Shape } from "../../../src/graph/shape.ts";
import { type Values, values } from "../../../src/graph/values.ts";
import type { Operations } from "../operations.ts";

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
  /** Given integers or pixels, or the shape of random weights in [0.5, 1.5]. */
  readonly data?: Named<DataValues | Shape>;
  readonly lanes?: number;
  /** Where inputs lie; [-1.5, 1.5] unless told. */
  readonly range?: Named<readonly [number, number]>;
  readonly budget: Budget;
  loss<T>(operations: Operations<T>, inputs: Readonly<Record<Name, T>>): T;
}

/** 2⁻²⁴: float32 rounding. */
export const rounding = 2 ** -24;

/** A handful of well-rounded operations. Scalars are sums, in which errors average out. */
export const plain: Budget = {
  value: 4 * rounding,
  gradient: 16 * rounding,
  jvp: 4 * rounding,
  hvp: 16 * rounding,
};

/** An operation that moves or adds up elements of x; its result, squared, is weighted by α. */
export function structural(
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

export const integers = (...numbers: number[]): Values => values(Int32Array.from(numbers));

export function labels(rows: number, classes: number): Values {
  return integers(...Array.from({ length: rows }, (_, row) => (row * 7 + 3) % classes));
}
