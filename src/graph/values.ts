import { kindOf } from "../gpu/kind.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { assertShape, elementAt, formatShape, type Shape, ShapeError, size } from "./shape.ts";

/** An array on the host that fills a shape. */
export interface Shaped {
  readonly shape: Shape;
  readonly data: Float32Array | Int32Array | Uint8Array;
  /** The first axis is the lane: see `perLane`. */
  readonly perLane?: boolean;
}

/** Numbers with a shape, on the host. */
export interface Values extends Shaped {
  readonly data: Float32Array | Int32Array;
}

export type ValuesOf<Names extends string = string> = Readonly<Record<Names, Values>>;

/** @throws ShapeError when the count does not fit the shape; ProblemError for what are no numbers. */
export function values(data: Float32Array | Int32Array | readonly number[], shape?: Shape): Values {
  const list = Array.isArray(data) || (ArrayBuffer.isView(data) && "length" in data);
  if (!list) throw new ProblemError(`values takes a list of numbers, not ${kindOf(data)}`);
  if (typeof data[0] === "bigint")
    throw new ProblemError(
      "values takes numbers, not bigints: write values(Int32Array.from(data, Number), shape)",
    );
  const stated = shape ?? [data.length];
  assertShape(stated);
  if (data.length !== size(stated))
    throw new ShapeError(`${data.length} numbers do not fill ${formatShape(stated)}`);
  return {
    shape: stated,
    data: data instanceof Float32Array || data instanceof Int32Array ? data : Float32Array.from(data),
  };
}

/**
 * Checks what a caller gave as Values; the types say it too, but not to JavaScript.
 * @throws ProblemError where it is something else, saying what to write; ShapeError where it does not fill its shape
 */
export function assertValues(name: string, given: unknown): asserts given is Values {
  const { shape, data } = (given ?? {}) as Partial<Values>;
  if (!Array.isArray(shape) || typeof data !== "object")
    throw new ProblemError(`${name} is ${kindOf(given)}: give values(numbers, shape)`);
  if (!(data instanceof Float32Array || data instanceof Int32Array)) {
    const other: unknown = data;
    const isBytes = other instanceof Uint8Array || other instanceof Uint8ClampedArray;
    const images = isBytes ? "pixels(data, shape) for images that are data, else " : "";
    throw new ProblemError(
      `${name} holds ${kindOf(data)}: write ${images}values(Float32Array.from(data), shape), or values(Int32Array.from(data), shape) for labels and other indices`,
    );
  }
  assertFills(name, { shape, data });
}

/** @throws ShapeError where so many numbers do not fill a shape */
export function assertFills(
  name: string,
  { shape, data }: { readonly shape: Shape; readonly data: ArrayLike<unknown> },
): void {
  if (data.length !== size(shape))
    throw new ShapeError(`${name} has ${data.length} numbers, which do not fill ${formatShape(shape)}`);
}

/** @throws ProblemError naming the first element that is NaN or infinite */
export function assertFinite(name: string, { data, shape }: Shaped): void {
  if (!(data instanceof Float32Array)) return;
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    throw new ProblemError(`${name} is ${data[i]} at ${elementAt(shape, i)}: give finite numbers`);
  }
}

/**
 * Checks named values as a problem states them; `of` is where. @throws ProblemError, ShapeError for what are no
 * Values, do not fill their shape or are not finite
 */
export function assertStated(of: string, record: unknown): asserts record is ValuesOf {
  assertNamed(of, record, assertValues);
}

/** The same, where `check` says what else each may be. */
export function assertNamed(
  of: string,
  record: unknown,
  check: (name: string, given: unknown) => void,
): asserts record is Readonly<Record<string, Shaped>> {
  if (typeof record !== "object" || record === null)
    throw new ProblemError(`${of} is ${kindOf(record)}: give values by name`);
  for (const [name, given] of Object.entries(record)) {
    check(called(name, of), given);
    assertFinite(called(name, of), given);
  }
}

/** How errors call an array. */
export function called(name: string, of: string): string {
  return `"${name}" of ${of}`;
}

/** Numbers of which each lane has its own part, [lanes × …]; a loss sees the part. */
export function perLane<V extends Shaped>(given: V): V {
  return { ...given, perLane: true };
}

/** The shape of what one lane sees. @throws ShapeError where the parts are not as many as the lanes */
export function laneShape(name: string, { shape, perLane }: Shaped, lanes: number): Shape {
  const [parts, ...rest] = shape;
  if (!perLane) return shape;
  if (parts !== lanes) {
    const hint = lanes === 1 && parts !== undefined ? `, or state lanes: ${parts}` : "";
    throw new ShapeError(
      `"${name}" is ${formatShape(shape)} with a part for each lane: its first axis has to be ${lanes}${hint}`,
    );
  }
  return rest;
}

/** The parts of the lanes, or the whole where all lanes share it. */
export function partsOf(given: Values): Values[] {
  if (!given.perLane) return [given];
  const [parts = 0, ...shape] = given.shape;
  const count = size(shape);
  return Array.from({ length: parts }, (_, lane) => ({
    shape,
    data: given.data.subarray(lane * count, (lane + 1) * count),
  }));
}

export function filled(shape: Shape, value: number): Values {
  assertShape(shape);
  return { shape, data: new Float32Array(size(shape)).fill(value) };
}

export function zeros(shape: Shape): Values {
  return filled(shape, 0);
}

export function scalar(value: number): Values {
  return filled([], value);
}
