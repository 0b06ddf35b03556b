import type { DataValues } from "../../src/graph/pixels.ts";
import { size } from "../../src/graph/shape.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import type { Case } from "./cases/case.ts";
import type { Vector } from "./reference.ts";

/** Where a case is evaluated: float32 numbers, held in float64 for the reference. */
export interface Sample {
  readonly lanes: number;
  readonly point: Vector;
  readonly tangent: Vector;
  readonly data: Readonly<Record<string, DataValues>>;
}

/** A random point in the case's ranges, another in each lane, and a random tangent; the same every time. */
export function sample({ name, parameters, hyper = {}, data = {}, range = {}, lanes = 1 }: Case): Sample {
  const random = new Random(1).fork(name);
  const uniform = (low: number, high: number, count: number) =>
    Float64Array.from({ length: count }, () => Math.fround(low + (high - low) * random.uniform()));
  const point: Vector = {};
  const tangent: Vector = {};
  for (const [key, shape] of Object.entries({ ...parameters, ...hyper })) {
    const [low, high] = range[key] ?? [-1.5, 1.5];
    point[key] = uniform(low, high, lanes * size(shape));
    tangent[key] = uniform(-1, 1, lanes * size(shape));
  }
  const given = Object.entries(data).map(
    ([key, value]) =>
      [key, "data" in value ? value : values([...uniform(0.5, 1.5, size(value))], value)] as const,
  );
  return { lanes, point, tangent, data: Object.fromEntries(given) };
}
