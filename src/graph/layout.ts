import { assertFilled, formatShape, type Shape, ShapeError, size } from "./shape.ts";
import { type Tensor, view } from "./tensor.ts";
import { assertValues, laneShape, type Values } from "./values.ts";

/** Where each of several named tensors stands in one flat vector. */
export class Layout<Names extends string = string> {
  readonly names: readonly Names[];
  readonly size: number;
  readonly #entries: Readonly<Record<Names, { offset: number; shape: Shape }>>;

  constructor(shapes: Readonly<Record<Names, Shape>>) {
    this.names = Object.keys(shapes) as Names[];
    let offset = 0;
    const entries = {} as Record<Names, { offset: number; shape: Shape }>;
    for (const name of this.names) {
      assertFilled(`"${name}"`, shapes[name], "a tensor has at least one element; leave it out");
      entries[name] = { offset, shape: shapes[name] };
      offset += size(shapes[name]);
    }
    this.#entries = entries;
    this.size = offset;
  }

  offset(name: Names): number {
    return this.#entries[name].offset;
  }

  shape(name: Names): Shape {
    return this.#entries[name].shape;
  }

  /** Each name's part of a flat graph tensor. */
  views(flat: Tensor): Record<Names, Tensor> {
    return this.#map((name) => view(flat, this.offset(name), this.shape(name)));
  }

  /**
   * Flat vectors of all lanes, `stride` elements apart, from values by name: either one set for every lane, or
   * the lanes' sets with the lane as first axis. @throws ShapeError naming what is missing or does not fit.
   */
  pack(record: Readonly<Record<Names, Values>>, lanes = 1, stride = this.size): Float32Array {
    const flat = new Float32Array(lanes * stride);
    for (const name of this.names) {
      const given: Values | undefined = record[name];
      const count = size(this.shape(name));
      if (given === undefined)
        throw new ShapeError(`"${name}" is missing; wanted are ${this.names.join(", ")}`);
      assertValues(`"${name}"`, given);
      if (given.data.length !== count && given.data.length !== lanes * count) {
        throw new ShapeError(
          `"${name}" is ${formatShape(given.shape)}, wanted is ${[[], ...(lanes > 1 ? [[lanes]] : [])]
            .map((axis) => formatShape([...axis, ...this.shape(name)]))
            .join(" or ")}`,
        );
      }
      for (let lane = 0; lane < lanes; lane++) {
        const start = given.data.length === count ? 0 : lane * count;
        flat.set(given.data.subarray(start, start + count), lane * stride + this.offset(name));
      }
    }
    return flat;
  }

  /** Values by name from the lanes' flat vectors; with `lanes`, each is `perLane`, with the lane as first axis. */
  unpack(flat: Float32Array, lanes?: number, stride = this.size): Record<Names, Values> {
    return this.#map((name) => {
      const shape = this.shape(name);
      const count = size(shape);
      const data = new Float32Array((lanes ?? 1) * count);
      for (let lane = 0; lane < (lanes ?? 1); lane++) {
        const start = lane * stride + this.offset(name);
        data.set(flat.subarray(start, start + count), lane * count);
      }
      return lanes === undefined ? { shape, data } : { shape: [lanes, ...shape], data, perLane: true };
    });
  }

  #map<T>(make: (name: Names) => T): Record<Names, T> {
    return Object.fromEntries(this.names.map((name) => [name, make(name)])) as Record<Names, T>;
  }
}

/** Of what one lane has. @throws ShapeError where the parts of values `perLane` are not as many as the lanes */
export function layoutOf<Names extends string>(
  record: Readonly<Record<Names, Values>>,
  lanes = 1,
): Layout<Names> {
  const shapes = Object.entries<Values>(record).map(([name, given]) => [name, laneShape(name, given, lanes)]);
  return new Layout(Object.fromEntries(shapes) as Record<Names, Shape>);
}
