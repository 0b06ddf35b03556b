import { size } from "../../src/graph/shape.ts";
import type { Case } from "./cases/case.ts";
import { HyperDual, hyperDualOperations } from "./hyperdual.ts";
import type { Sample } from "./sample.ts";

/** Numbers by name, the lanes one after another. */
export type Vector = Record<string, Float64Array>;

/** Along a tangent: ⟨∇L, ż⟩ of each lane, and H ż. */
export interface Along {
  readonly jvp: Float64Array;
  readonly hvp: Vector;
}

export interface Reference {
  readonly value: Float64Array;
  readonly gradient: Vector;
  /** Along ẇ alone, α̇ alone, and both. */
  readonly parameters: Along;
  readonly hyper: Along;
  readonly both: Along;
}

/** Values and derivatives of a case in float64, one coordinate of the gradient at a time. */
export function reference(
  { loss, parameters, hyper = {} }: Case,
  { lanes, point, tangent, data }: Sample,
): Reference {
  const shapes = { ...parameters, ...hyper };
  const names = Object.keys(shapes);
  const zero = (): Vector =>
    Object.fromEntries(names.map((name) => [name, new Float64Array(lanes * size(shapes[name]!))]));
  const along = (): Along => ({ jvp: new Float64Array(lanes), hvp: zero() });
  const result = {
    value: new Float64Array(lanes),
    gradient: zero(),
    parameters: along(),
    hyper: along(),
    both: along(),
  };
  const fixed = Object.entries(data).map(
    ([name, { shape, data }]) =>
      [
        name,
        HyperDual.of(shape, data instanceof Uint8Array ? Array.from(data, (b) => b / 255) : data),
      ] as const,
  );

  for (let lane = 0; lane < lanes; lane++) {
    const part = (values: Vector, name: string) => {
      const count = size(shapes[name]!);
      return values[name]!.subarray(lane * count, (lane + 1) * count);
    };
    for (const seeded of ["parameters", "hyper"] as const) {
      const carriers = seeded === "parameters" ? parameters : hyper;
      if (Object.keys(carriers).length === 0) continue;
      for (const name of names) {
        const count = size(shapes[name]!);
        for (let i = 0; i < count; i++) {
          const direction = new Float64Array(count);
          direction[i] = 1;
          const inputs = names.map((other) => {
            const ahead = other in carriers ? part(tangent, other) : undefined;
            return [
              other,
              HyperDual.of(shapes[other]!, part(point, other), other === name ? direction : undefined, ahead),
            ] as const;
          });
          const { parts } = loss(hyperDualOperations, Object.fromEntries([...inputs, ...fixed]) as never);
          const [v, a, b, ab] = parts.map((p) => p?.[0] ?? 0);
          result.value[lane] = v!;
          result[seeded].jvp[lane] = b ?? 0;
          part(result.gradient, name)[i] = a ?? 0;
          part(result[seeded].hvp, name)[i] = ab ?? 0;
        }
      }
    }
  }
  for (const { jvp, hvp } of [result.parameters, result.hyper]) {
    accumulate(result.both.jvp, jvp);
    for (const name of names) accumulate(result.both.hvp[name]!, hvp[name]!);
  }
  return result;
}

function accumulate(sums: Float64Array, terms: Float64Array): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += terms[i]!;
}
