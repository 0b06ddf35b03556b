import { HypergradError } from "../gpu/errors.ts";

/** Sizes of a tensor's axes, without the lanes; `[]` is a scalar. */
export type Shape = readonly number[];

export class ShapeError extends HypergradError {
  override name = "ShapeError";
}

export function size(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, axis) => n === b[axis]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join("×")}]`;
}

/** @throws ShapeError unless this is a list of whole numbers ≥ 0. */
export function assertShape(shape: Shape): void {
  if (Array.isArray(shape) && shape.every((n) => Number.isInteger(n) && n >= 0)) return;
  throw new ShapeError(`${JSON.stringify(shape)} is no shape: give whole numbers ≥ 0, as in [2, 3]`);
}

/** @throws ShapeError when a tensor of this shape has no elements; `remedy` says what to do then. */
export function assertFilled(name: string, shape: Shape, remedy: string): void {
  if (size(shape) > 0) return;
  throw new ShapeError(`${name} is ${formatShape(shape)}: ${remedy}`);
}

/** Elements from one index to the next along each axis, row-major. */
export function strides(shape: Shape): number[] {
  const result = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result[axis] = stride;
    stride *= shape[axis]!;
  }
  return result;
}

/** The place of a flat, row-major index, for people. */
export function elementAt(shape: Shape, index: number): string {
  if (shape.length === 0) return "the value";
  const places = strides(shape).map((stride, axis) => Math.floor(index / stride) % shape[axis]!);
  return `element [${places.join(", ")}]`;
}

/** The shape two operands broadcast to, by NumPy's rule. @throws ShapeError naming both. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new ShapeError(
        `${formatShape(a)} and ${formatShape(b)} do not broadcast: axis ${axis} is ${m} and ${n}`,
      );
    }
    return m === 1 ? n : m;
  });
}

/** An axis counted from the front, or from the back when negative. @throws ShapeError when there is none such. */
export function normalizeAxis(axis: number, shape: Shape): number {
  const positive = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= shape.length) {
    throw new ShapeError(`axis ${axis} of a tensor of shape ${formatShape(shape)} does not exist`);
  }
  return positive;
}

/**
 * WGSL for the position in an operand of shape `from` that belongs to position `i` of a row-major tensor of shape
 * `to`, to which it broadcasts.
 */
export function broadcastIndex(to: Shape, from: Shape, i = "i"): string {
  if (size(from) === 1) return "0u";
  if (size(from) === size(to)) return i;
  const padded = [...new Array<number>(to.length - from.length).fill(1), ...from];
  const fromStrides = strides(padded);
  const toStrides = strides(to);
  const terms: string[] = [];
  // Neighbouring axes that are both kept or both broadcast act as one.
  for (let axis = 0; axis < to.length; ) {
    let last = axis;
    const kept = padded[axis] !== 1;
    while (last + 1 < to.length && (padded[last + 1] !== 1 || to[last + 1] === 1) === kept) last++;
    if (kept) {
      const extent = size(to.slice(axis, last + 1));
      const quotient = toStrides[last] === 1 ? i : `${i} / ${toStrides[last]}u`;
      const coordinate = axis === 0 ? quotient : `${quotient} % ${extent}u`;
      terms.push(fromStrides[last] === 1 ? coordinate : `(${coordinate}) * ${fromStrides[last]}u`);
    }
    axis = last + 1;
  }
  return terms.join(" + ");
}

/**
 * Neighbours in a tensor of shape `to` that share an element of an operand of shape `from`, counted from a multiple of
 * their number on; 0 where all elements have their own, in the same order.
 */
export function broadcastRun(to: Shape, from: Shape): number {
  if (size(from) === size(to)) return 0;
  const padded = [...new Array<number>(to.length - from.length).fill(1), ...from];
  const last = padded.findLastIndex((extent) => extent !== 1);
  return size(to.slice(last + 1));
}
