import { kindOf } from "../gpu/kind.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { assertShape, elementAt, type Shape } from "./shape.ts";
import { assertFills, assertNamed, assertValues, type Shaped, type Values } from "./values.ts";

/** Numbers from 0 to 1 in steps of 1/255, a byte each: images in a quarter of the memory. */
export interface Pixels extends Shaped {
  readonly kind: "pixels";
  readonly data: Uint8Array;
}

/** What data may be. */
export type DataValues = Values | Pixels;

/**
 * Images, or other numbers from 0 to 1, as bytes, which they stay on the GPU: from bytes, of which 255 means 1, or from
 * floats, which are rounded to the nearest 255th. For data, not for w and α. Products, convolutions and the drawing of
 * mini-batches read them as they are; for other operations they are made floats, once an outer step or once a batch.
 * @throws ShapeError where they do not fill the shape; ProblemError for floats outside [0, 1]
 */
export function pixels(images: Uint8Array | Uint8ClampedArray | Float32Array, shape?: Shape): Pixels {
  const isFloat = images instanceof Float32Array;
  if (!isFloat && !(images instanceof Uint8Array || images instanceof Uint8ClampedArray)) {
    throw new ProblemError(
      `pixels takes a Uint8Array, or a Float32Array of numbers from 0 to 1, not ${kindOf(images)}`,
    );
  }
  const stated = shape ?? [images.length];
  assertShape(stated);
  assertFills("pixels", { shape: stated, data: images });
  const data = isFloat
    ? rounded(images, stated)
    : new Uint8Array(images.buffer, images.byteOffset, images.length);
  return { kind: "pixels", shape: stated, data };
}

function rounded(images: Float32Array, shape: Shape): Uint8Array {
  const data = new Uint8Array(images.length);
  for (let i = 0; i < images.length; i++) {
    const value = images[i]!;
    if (!(value >= 0 && value <= 1)) {
      throw new ProblemError(
        `pixels are ${value} at ${elementAt(shape, i)}: scale images to [0, 1], or give other numbers as values()`,
      );
    }
    data[i] = Math.round(255 * value);
  }
  return data;
}

const isPixels = (given: unknown): given is Pixels => {
  const { kind, shape, data } = (given ?? {}) as Partial<Pixels>;
  return kind === "pixels" && Array.isArray(shape) && data instanceof Uint8Array;
};

/** Like `assertValues`, for what data may be. @throws ProblemError, ShapeError */
export function assertData(name: string, given: unknown): asserts given is DataValues {
  if (isPixels(given)) assertFills(name, given);
  else assertValues(name, given);
}

/** Like `assertStated`, for what data may be. @throws ProblemError, ShapeError */
export function assertStatedData(of: string, record: unknown): asserts record is Record<string, DataValues> {
  assertNamed(of, record, assertData);
}
