import type { Reference, Vector } from "./reference.ts";
import type { Sample } from "./sample.ts";

/** Relative errors, measured as `Budget` says; NaN where a result is no number. */
export type Errors = Record<"value" | "gradient" | "jvp" | "hvp", number>;

export interface Results {
  readonly value?: ArrayLike<number>;
  readonly gradient?: Vector;
  readonly jvp?: ArrayLike<number>;
  readonly hvp?: Vector;
}

export function norm(...vectors: ArrayLike<number>[]): number {
  return Math.hypot(...vectors.map((vector) => Math.sqrt(dot(vector, vector))));
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function difference(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from(a, (value, i) => value - b[i]!);
}

/** Errors of results against the reference along one of its tangents. */
export function errorsOf(
  results: Results,
  exact: Reference,
  along: "parameters" | "hyper" | "both",
  { point, tangent }: Sample,
): Errors {
  const slope = norm(...Object.values(exact.gradient));
  const reach = (vector: Vector) => slope * norm(...Object.values(vector));
  const scalar = (found: ArrayLike<number> | undefined, wanted: Float64Array, scale: number) =>
    found ? ratio(norm(difference(found, wanted)), scale) : 0;
  const vector = (found: Vector | undefined, wanted: Vector) =>
    found ? worst(Object.keys(wanted).map((name) => relative(found[name]!, wanted[name]!))) : 0;
  return {
    value: scalar(results.value, exact.value, norm(exact.value) + reach(point)),
    gradient: vector(results.gradient, exact.gradient),
    jvp: scalar(results.jvp, exact[along].jvp, reach(tangent)),
    hvp: vector(results.hvp, exact[along].hvp),
  };
}

/** ‖found - wanted‖ / ‖wanted‖ */
export function relative(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  return ratio(norm(difference(found, wanted)), norm(wanted));
}

function ratio(error: number, scale: number): number {
  return error === 0 ? 0 : error / scale;
}

/** The largest; NaN if there is one. */
export function worst(errors: readonly number[]): number {
  return errors.reduce((largest, error) => (error > largest || Number.isNaN(error) ? error : largest), 0);
}
