import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { stepTable } from "./coefficient.ts";
import { float, input, linearMain, output, type View } from "./operand.ts";
import { behind, declarePrologue, evaluatePrologue, type FlatKernel, type Prologue } from "./prologue.ts";
import type { PullBackMove } from "./pull_back.ts";
import { declareStatus, watch } from "./status.ts";

/**
 * m = β1 m + (1 - β1) g, s = β2 s + (1 - β2) g², w = (1 - η λ) w - η m̂ / (√ŝ + ε) with m̂ = c1 m, ŝ = c2 s. The step
 * table has c1 = 1 / (1 - β1^t) and c2 = 1 / (1 - β2^t). The moments stand in one buffer, m of all lanes first.
 */
export interface AdamW {
  /** Elements a lane, and from one lane to the next. */
  readonly count: number;
  readonly lane: number;
  readonly lanes: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** λ */
  readonly weightDecay: number;
}

const FLAT: View = { offset: 0, lane: 0 };

/** Of the vectors that one buffer holds, the offset of number `index`. */
const part = ({ lane, lanes }: AdamW, index: number) => `${index * lane * lanes}u`;

/** 1 - η λ */
const keep = ({ lr, weightDecay }: AdamW) => float(1 - lr * weightDecay);

/** WGSL for the new moments. */
const moments = ({ beta1, beta2 }: AdamW) =>
  `let m = ${float(beta1)} * m_old + ${float(1 - beta1)} * g;
  let s = ${float(beta2)} * s_old + ${float(1 - beta2)} * g * g;`;

/** One step from the gradient that comes first; w, and (m, s) from before it with its g, go to the trajectory where `store` says so. */
export function adamWStep(
  adam: AdamW,
  store: { readonly parameters: boolean; readonly state: boolean },
  gradient: Prologue,
): FlatKernel {
  const { count, lane, lr, epsilon, weightDecay } = adam;
  const next = behind(gradient);
  const { code, value } = evaluatePrologue(gradient);
  return {
    code: wgsl`
${declarePrologue(gradient)}
${output(next, "parameters", FLAT)}
${output(next + 1, "moments", FLAT)}
${output(next + 2, "storedParameters", store.parameters ? FLAT : undefined)}
${output(next + 3, "storedState", store.state ? FLAT : undefined)}
${stepTable(next + 4)}
${declareStatus(next + 5)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let w = parameters[j];
  ${code}
  let g = ${value};
  let m_old = moments[j];
  let s_old = moments[${part(adam, 1)} + j];
  ${moments(adam)}
  moments[j] = m;
  moments[${part(adam, 1)} + j] = s;
#if ${store.parameters}
  storedParameters[j] = w;
#endif
#if ${store.state}
  storedState[j] = m_old;
  storedState[${part(adam, 1)} + j] = s_old;
  storedState[${part(adam, 2)} + j] = g;
#endif
  let delta = ${float(lr)} * inner.constants.x * m / (sqrt(inner.constants.y * s) + ${float(epsilon)});
  let next = ${weightDecay > 0 ? `${keep(adam)} * w` : "w"} - delta;
  parameters[j] = next;
  ${watch("next")}
}`,
    elements: count,
  };
}

/**
 * WGSL for a = -∂w/∂m, b = ∂w/∂s and k = -dw/dg of a step, from what it stored at `at`. In k = (1 - β1) a -
 * 2 (1 - β2) g b the squares of g cancel, at the first step all but the term with ε, so they are left out by hand.
 * Where s = 0 the root has no derivative, and its terms are dropped: with g = 0 nothing moves s to first order.
 * m / √s is bounded and taken first, as 1 / √s alone is not.
 */
function slopes(adam: AdamW, at: string): string {
  const { lr, beta1, beta2, epsilon } = adam;
  return `let m_old = stored[${at}];
  let s_old = stored[${part(adam, 1)} + ${at}];
  let g = stored[${part(adam, 2)} + ${at}];
  ${moments(adam)}
  let c = inner.constants;
  let root = sqrt(c.y * s);
  let spread = root + ${float(epsilon)};
  let a = ${float(lr)} * c.x / spread;
  var b = 0.0;
  var pull = ${float((1 - beta1) * epsilon)};
  if (root > 0.0) {
    b = 0.5 * a * (m / root) * c.y / spread;
    pull += c.y * (${float((1 - beta1) * beta2)} * (s_old / root) - ${float((1 - beta2) * beta1)} * (g / root) * m_old);
  }
  let k = a * pull / spread;`;
}

/**
 * Between two products of the reverse sweep: with `after`, p = (1 - η λ) p + Hr; with `before`, from the adjoints
 * (pm, ps) of the moments, r = (1 - β1) pm + 2 (1 - β2) g ps - k p, then pm = β1 (pm - a p), ps = β2 (ps + b p).
 * Before the first product, and for a step alone (not `keepsMoments`), pm = ps = 0.
 */
export function adamWAdjoint(
  adam: AdamW,
  { after, before, carry, keepsMoments }: PullBackMove & { readonly keepsMoments: boolean },
  product: Prologue,
): FlatKernel {
  const { count, lane, beta1, beta2, weightDecay } = adam;
  const next = behind(product);
  const hr = after ? evaluatePrologue(product) : undefined;
  return {
    code: wgsl`
${declarePrologue(product)}
${output(next, "p", FLAT)}
${output(next + 1, "r", before ? FLAT : undefined)}
${input(next + 2, "stored", before ? FLAT : undefined)}
${output(next + 3, "p_moments", before && keepsMoments ? FLAT : undefined)}
${before ? stepTable(next + 4) : ""}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  var p_next = p[j];
#if ${after && before}
  let r_old = r[j];
#endif
#if ${after}
  ${hr?.code ?? ""}
  p_next = ${weightDecay > 0 ? `${keep(adam)} * p_next` : "p_next"} + ${hr?.value ?? ""};
  p[j] = p_next;
#endif
#if ${before}
  ${slopes(adam, "j")}
  var p_m = 0.0;
  var p_s = 0.0;
  #if ${carry}
  p_m = p_moments[j];
  p_s = p_moments[${part(adam, 1)} + j];
  #endif
  r[j] = ${float(1 - beta1)} * p_m + ${float(2 * (1 - beta2))} * g * p_s - k * p_next;
  #if ${keepsMoments}
  p_moments[j] = ${float(beta1)} * (p_m - a * p_next);
  p_moments[${part(adam, 1)} + j] = ${float(beta2)} * (p_s + b * p_next);
  #endif
#endif
}`,
    elements: count,
  };
}

/** The step's tangent, for columns beside the lanes: ẇ = (1 - η λ) ẇ - a β1 ṁ + b β2 ṡ - k ġ, then ṁ and ṡ. */
export function adamWTangent(adam: AdamW, columns: number): string {
  const { count, lane, lanes, beta1, beta2, weightDecay } = adam;
  return wgsl`
${output(0, "d_parameters", FLAT)}
${input(1, "d_gradient", FLAT)}
${output(2, "d_moments", FLAT)}
${input(3, "stored", FLAT)}
${stepTable(4)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let own = (lane % ${lanes}u) * ${lane}u + i;
  ${slopes(adam, "own")}
  let second = ${columns * lanes * lane}u + j;
  let d_g = d_gradient[j];
  let d_m = ${float(beta1)} * d_moments[j];
  let d_s = ${float(beta2)} * d_moments[second];
  let kept = ${weightDecay > 0 ? `${keep(adam)} * d_parameters[j]` : "d_parameters[j]"};
  d_parameters[j] = kept - a * d_m + b * d_s - k * d_g;
  d_moments[j] = d_m + ${float(1 - beta1)} * d_g;
  d_moments[second] = d_s + ${float(2 * (1 - beta2))} * g * d_g;
}`;
}
