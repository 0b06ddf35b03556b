import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { float, input, linearMain, output, type View } from "./operand.ts";
import { behind, declarePrologue, evaluatePrologue, type FlatKernel, type Prologue } from "./prologue.ts";
import type { PullBackMove } from "./pull_back.ts";
import { declareStatus, watch } from "./status.ts";
import { fit, vector } from "./width.ts";

/** v = μ v + g + λ w, then w = w - η v, or Nesterov's w = w - η (g + λ w + μ v). */
export interface Sgd {
  /** Elements a lane, and from one lane to the next. */
  readonly count: number;
  readonly lane: number;
  readonly rate: Coefficient;
  readonly momentum: Coefficient;
  /** Is there a momentum buffer? Without one the velocity is the gradient. */
  readonly velocity: boolean;
  readonly nesterov: boolean;
  /** λ */
  readonly decay: number;
}

/** One step from the gradient that comes first; the state from before it goes to the trajectory where `store` says so. */
export function sgdStep(
  { count, lane, rate, momentum, velocity, nesterov, decay }: Sgd,
  store: { readonly parameters: boolean; readonly velocity: boolean },
  gradient: Prologue,
): FlatKernel {
  const flat: View = { offset: 0, lane };
  const width = fit([count, lane]);
  const type = vector(width);
  const next = behind(gradient);
  const { code, value } = evaluatePrologue(gradient, width);
  return {
    code: wgsl`
${declarePrologue(gradient, width)}
${output(next, "parameters", flat, type)}
${output(next + 1, "velocity", velocity ? flat : undefined, type)}
${output(next + 2, "storedParameters", store.parameters ? flat : undefined, type)}
${output(next + 3, "storedVelocity", store.velocity ? flat : undefined, type)}
${declareCoefficient(next + 4, "rate", rate)}
${declareCoefficient(next + 5, "momentum", momentum)}
${stepTable(next + 6)}
${declareStatus(next + 7)}
${linearMain(count / width)}
  let j = lane * ${lane / width}u + i;
  let w = parameters[j];
  ${code}
  var v = ${value};
#if ${store.parameters}
  storedParameters[j] = w;
#endif
#if ${decay > 0}
  v += ${float(decay)} * w;
#endif
#if ${velocity}
  let g = v;
  let old = velocity[j];
  #if ${store.velocity}
  storedVelocity[j] = old;
  #endif
  v += ${coefficient("momentum", momentum)} * old;
  velocity[j] = v;
  #if ${nesterov}
  v = g + ${coefficient("momentum", momentum)} * v;
  #endif
#endif
  let next = w - ${coefficient("rate", rate)} * v;
  parameters[j] = next;
  ${watch("next", width)}
}`,
    elements: count / width,
  };
}

/** What half a move, or a whole one, does with r and with the adjoint q of the velocity. */
export function sgdMove(
  { velocity, decay }: Pick<Sgd, "velocity" | "decay">,
  { after, before, carry }: PullBackMove,
): { readonly carries: boolean; readonly moves: boolean; readonly readsR: boolean; readonly usesR: boolean } {
  const carries = carry && velocity;
  const usesR = before || carries || (after && decay > 0);
  return { carries, moves: carries && after, readsR: carries || (after && usesR), usesR };
}

/**
 * Between two products of the reverse sweep: with `after`, p = p + Hr + λ r; with `before`, r = q - η p. The
 * adjoint q of the velocity is μ r; under Nesterov's rule r = q - η (1 + μ) p and q = μ (r + η p), with p and r of
 * the step after. Where the two halves are kernels of their own, q stands in r between them.
 */
export function sgdAdjoint(sgd: Sgd, move: PullBackMove, product: Prologue): FlatKernel {
  const { count, lane, rate, momentum, nesterov, decay } = sgd;
  const { after, before } = move;
  const { carries, moves, readsR, usesR } = sgdMove(sgd, move);
  const flat: View = { offset: 0, lane };
  const width = fit([count, lane]);
  const type = vector(width);
  const later: Coefficient = { ...momentum, shift: 1 };
  const next = behind(product);
  const hr = after ? evaluatePrologue(product, width) : undefined;
  return {
    code: wgsl`
${declarePrologue(product, width)}
${output(next, "p", flat, type)}
${output(next + 1, "r", usesR ? flat : undefined, type)}
${before || (moves && nesterov) ? declareCoefficient(next + 2, "rate", rate) : ""}
${moves ? declareCoefficient(next + 3, "momentum", later) : ""}
${before || moves ? stepTable(next + 4) : ""}
${linearMain(count / width)}
  let j = lane * ${lane / width}u + i;
  var p_next = p[j];
#if ${readsR}
  let r_old = r[j];
#endif
  var q = ${type}();
#if ${moves && nesterov}
  q = ${coefficient("momentum", later)} * (r_old + ${coefficient("rate", rate)} * p_next);
#elif ${moves}
  q = ${coefficient("momentum", later)} * r_old;
#elif ${carries}
  q = r_old;
#endif
#if ${after}
  ${hr?.code ?? ""}
  p_next += ${hr?.value ?? ""};
  #if ${decay > 0}
  p_next += ${float(decay)} * r_old;
  #endif
  p[j] = p_next;
#endif
#if ${before && nesterov}
  r[j] = q - ${coefficient("rate", rate)} * (1.0 + ${coefficient("momentum", momentum)}) * p_next;
#elif ${before}
  r[j] = q - ${coefficient("rate", rate)} * p_next;
#elif ${carries}
  r[j] = q;
#endif
}`,
    elements: count / width,
  };
}

/** Tangents of w and v along the elements of α, a column each, every one with so many lanes. */
export interface Columns {
  readonly lanes: number;
}

/** The step's tangent: v̇ = μ v̇ + ġ + λ ẇ + μ̇ v_{t-1}, then ẇ = ẇ - η v̇ - η̇ v_t, and likewise by Nesterov's rule. */
export function sgdTangent(
  { count, lane, rate, momentum, velocity, nesterov, decay }: Sgd,
  { lanes }: Columns,
): string {
  const flat: View = { offset: 0, lane };
  const learned = { rate: rate.view !== undefined, momentum: momentum.view !== undefined };
  // A column has the coefficients of its lane.
  const of = (name: string, given: Coefficient) =>
    coefficient(name, given.view ? { ...given, view: { ...given.view, period: lanes } } : given);
  const is = ({ view, perStep }: Coefficient) =>
    `(lane / ${lanes}u == ${view?.offset ?? 0}u${perStep ? " + inner.index" : ""})`;
  return wgsl`
${output(0, "d_parameters", flat)}
${input(1, "d_gradient", flat)}
${output(2, "d_velocity", velocity ? flat : undefined)}
${input(3, "velocity", learned.rate ? flat : undefined)}
${input(4, "oldVelocity", learned.momentum ? flat : undefined)}
${declareCoefficient(5, "rate", rate)}
${declareCoefficient(6, "momentum", momentum)}
${stepTable(7)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let own = (lane % ${lanes}u) * ${lane}u + i;
  let w = d_parameters[j];
  var v = d_gradient[j];
#if ${decay > 0}
  v += ${float(decay)} * w;
#endif
#if ${velocity}
  let g = v;
  v += ${of("momentum", momentum)} * d_velocity[j];
  #if ${learned.momentum}
  if ${is(momentum)} { v += oldVelocity[own]; }
  #endif
  d_velocity[j] = v;
  #if ${nesterov}
  v = g + ${of("momentum", momentum)} * v;
  #endif
#endif
  var next = w - ${of("rate", rate)} * v;
#if ${learned.rate}
  if ${is(rate)} { next -= velocity[own]; }
#endif
  d_parameters[j] = next;
}`;
}
