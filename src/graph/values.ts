import { formatShape, type Shape, ShapeError, size } from "./shape.ts";
import type { DType } from "./tensor.ts";

/** Numbers with a shape, on the host. */
export interface Values {
  readonly shape: Shape;
  readonly data: Float32Array | Int32Array;
  /** The first axis is the lane: see `perLane`. */
  readonly perLane?: boolean;
}

export type ValuesOf<Names extends string = string> = Readonly<Record<Names, Values>>;

/** @throws ShapeError when the count does not fit the shape. */
export function values(
  data: Float32Array | Int32Array | readonly number[],
  shape: Shape = [data.length],
): Values {
  if (data.length !== size(shape))
    throw new ShapeError(`${data.length} numbers do not fill ${formatShape(shape)}`);
  return {
    shape,
    data: data instanceof Float32Array || data instanceof Int32Array ? data : Float32Array.from(data),
  };
}

/** Numbers of which each lane has its own part, [lanes × …]; a loss sees the part. */
export function perLane(given: Values): Values {
  return { ...given, perLane: true };
}

/** The shape of what one lane sees. @throws ShapeError where the parts are not as many as the lanes */
export function laneShape(name: string, { shape, perLane }: Values, lanes: number): Shape {
  const [parts, ...rest] = shape;
  if (!perLane) return shape;
  if (parts !== lanes) {
    throw new ShapeError(
      `"${name}" is ${formatShape(shape)} with a part for each lane: its first axis has to be ${lanes}`,
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
  return { shape, data: new Float32Array(size(shape)).fill(value) };
}

export function zeros(shape: Shape): Values {
  return filled(shape, 0);
}

export function scalar(value: number): Values {
  return filled([], value);
}

export function dtypeOf({ data }: Values): DType {
  return data instanceof Int32Array ? "i32" : "f32";
}
