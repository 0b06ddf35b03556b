import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { float, input, linearMain, output, type View } from "./operand.ts";

export interface InnerStep {
  /** Elements a lane, and from one lane to the next. */
  readonly count: number;
  readonly lane: number;
  readonly rate: Coefficient;
  readonly momentum: Coefficient;
  /** Is there a momentum buffer? Without one the velocity is the gradient. */
  readonly velocity: boolean;
  /** Keep the state from before the step: the parameters, and the velocity. */
  readonly store: { readonly parameters: boolean; readonly velocity: boolean };
}

/**
 * One step of SGD with momentum, v = μ v + g and w = w - η v, after the old state went to the trajectory. The
 * smallest step index at which a parameter is not finite is kept in `status`; exponent bits are tested, as
 * compilers may assume that floats are finite (WGSL, "Floating Point Evaluation").
 */
export function innerStep({ count, lane, rate, momentum, velocity, store }: InnerStep): string {
  const flat: View = { offset: 0, lane };
  return wgsl`
${input(0, "gradient", flat)}
${output(1, "parameters", flat)}
${output(2, "velocity", velocity ? flat : undefined)}
${output(3, "storedParameters", store.parameters ? flat : undefined)}
${output(4, "storedVelocity", store.velocity ? flat : undefined)}
${declareCoefficient(5, "rate", rate)}
${declareCoefficient(6, "momentum", momentum)}
${stepTable(7)}
@group(0) @binding(8) var<storage, read_write> status: atomic<u32>;
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let w = parameters[j];
  var v = gradient[j];
#if ${store.parameters}
  storedParameters[j] = w;
#endif
#if ${velocity}
  let old = velocity[j];
  #if ${store.velocity}
  storedVelocity[j] = old;
  #endif
  v += ${coefficient("momentum", momentum)} * old;
  velocity[j] = v;
#endif
  let next = w - ${coefficient("rate", rate)} * v;
  parameters[j] = next;
  if ((bitcast<u32>(next) & 0x7f800000u) == 0x7f800000u) { atomicMin(&status, step.index); }
}`;
}

export interface AdjointStep {
  readonly count: number;
  readonly lane: number;
  /** p += Hr first. */
  readonly accumulate: boolean;
  /** η of the step that r is wanted for. */
  readonly rate: Coefficient;
  /** μ of the step that r was used for; none before the first product, where q = 0. */
  readonly momentum: Coefficient | undefined;
  /** r is wanted: not after the last product. */
  readonly next: boolean;
}

/** Between two products of the reverse sweep: p = p + Hr, then r = μ r - η p (the q of the recurrence is μ r). */
export function adjointStep({ count, lane, accumulate, rate, momentum, next }: AdjointStep): string {
  const flat: View = { offset: 0, lane };
  return wgsl`
${output(0, "p", flat)}
${output(1, "r", next ? flat : undefined)}
${input(2, "hr", accumulate ? flat : undefined)}
${next ? declareCoefficient(3, "rate", rate) : ""}
${momentum ? declareCoefficient(4, "momentum", momentum) : ""}
${stepTable(5)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  var p_next = p[j];
#if ${accumulate}
  p_next += hr[j];
  p[j] = p_next;
#endif
#if ${next}
  var q = 0.0;
  #if ${momentum}
  q = ${momentum ? coefficient("momentum", momentum) : float(0)} * r[j];
  #endif
  r[j] = q - ${coefficient("rate", rate)} * p_next;
#endif
}`;
}
