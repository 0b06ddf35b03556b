import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { stepTable } from "./coefficient.ts";
import { float, input, linearMain, output, type View } from "./operand.ts";
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

/** One step; w from before it, and (m, s, g) of the step, go to the trajectory where `store` says so. */
export function adamWStep(
  adam: AdamW,
  store: { readonly parameters: boolean; readonly state: boolean },
): string {
  const { count, lane, lr, beta1, beta2, epsilon, weightDecay } = adam;
  return wgsl`
${input(0, "gradient", FLAT)}
${output(1, "parameters", FLAT)}
${output(2, "moments", FLAT)}
${output(3, "storedParameters", store.parameters ? FLAT : undefined)}
${output(4, "storedState", store.state ? FLAT : undefined)}
${stepTable(5)}
${declareStatus(6)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let w = parameters[j];
  let g = gradient[j];
  let m = ${float(beta1)} * moments[j] + ${float(1 - beta1)} * g;
  let s = ${float(beta2)} * moments[${part(adam, 1)} + j] + ${float(1 - beta2)} * g * g;
  moments[j] = m;
  moments[${part(adam, 1)} + j] = s;
#if ${store.parameters}
  storedParameters[j] = w;
#endif
#if ${store.state}
  storedState[j] = m;
  storedState[${part(adam, 1)} + j] = s;
  storedState[${part(adam, 2)} + j] = g;
#endif
  let move = ${float(lr)} * step.constants.x * m / (sqrt(step.constants.y * s) + ${float(epsilon)});
  let next = ${weightDecay > 0 ? `${keep(adam)} * w` : "w"} - move;
  parameters[j] = next;
  ${watch("next")}
}`;
}

/**
 * WGSL for a = -∂w/∂m and b = ∂w/∂s. Where s = 0, √ has no derivative and b is 0: with g = 0 nothing moves s to
 * first order. m / √s is bounded and taken first, as 1 / √s alone is not.
 */
function slopes({ lr, epsilon }: AdamW): string {
  return `let root = sqrt(step.constants.y * s);
  let scaled = ${float(lr)} / (root + ${float(epsilon)});
  let a = scaled * step.constants.x;
  var b = 0.0;
  if (root > 0.0) { b = 0.5 * a * (m / root) * step.constants.y / (root + ${float(epsilon)}); }`;
}

/**
 * Between two products of the reverse sweep: with `after`, p = (1 - η λ) p + Hr; with `before`, from the adjoints
 * (pm, ps) of the moments, M = pm - a p, S = ps + b p, r = (1 - β1) M + 2 (1 - β2) g S, pm = β1 M, ps = β2 S.
 * Before the first product, and for a step alone (`carry` false), pm = ps = 0. The moments and g of the step are
 * read from the buffer `moments`, g from `gradient` if it is not the third vector there.
 */
export function adamWAdjoint(
  adam: AdamW,
  {
    after,
    before,
    carry,
    live,
  }: {
    readonly after: boolean;
    readonly before: boolean;
    /** The adjoints of the moments are kept, for the step before. */
    readonly carry: boolean;
    readonly live: boolean;
  },
): string {
  const { count, lane, beta1, beta2, weightDecay } = adam;
  return wgsl`
${output(0, "p", FLAT)}
${output(1, "r", before ? FLAT : undefined)}
${input(2, "hr", after ? FLAT : undefined)}
${input(3, "moments", before ? FLAT : undefined)}
${input(4, "gradient", before && live ? FLAT : undefined)}
${output(5, "p_moments", carry ? FLAT : undefined)}
${before ? stepTable(6) : ""}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let p_old = p[j];
  var p_next = p_old;
#if ${after}
  p_next = ${weightDecay > 0 ? `${keep(adam)} * p_old` : "p_old"} + hr[j];
  p[j] = p_next;
#endif
#if ${before}
  let m = moments[j];
  let s = moments[${part(adam, 1)} + j];
  let g = ${live ? "gradient[j]" : `moments[${part(adam, 2)} + j]`};
  ${slopes(adam)}
  var p_m = -a * p_next;
  var p_s = b * p_next;
#if ${carry && after}
  p_m += p_moments[j];
  p_s += p_moments[${part(adam, 1)} + j];
#endif
  r[j] = ${float(1 - beta1)} * p_m + ${float(2 * (1 - beta2))} * g * p_s;
#if ${carry}
  p_moments[j] = ${float(beta1)} * p_m;
  p_moments[${part(adam, 1)} + j] = ${float(beta2)} * p_s;
#endif
#endif
}`;
}

/** The step's tangent, for columns beside the lanes: ṁ, ṡ, then ẇ = (1 - η λ) ẇ - a ṁ + b ṡ. */
export function adamWTangent(adam: AdamW, columns: number): string {
  const { count, lane, lanes, beta1, beta2, weightDecay } = adam;
  return wgsl`
${output(0, "d_parameters", FLAT)}
${input(1, "d_gradient", FLAT)}
${output(2, "d_moments", FLAT)}
${input(3, "moments", FLAT)}
${input(4, "gradient", FLAT)}
${stepTable(5)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let own = (lane % ${lanes}u) * ${lane}u + i;
  let m = moments[own];
  let s = moments[${part(adam, 1)} + own];
  let g = gradient[own];
  ${slopes(adam)}
  let second = ${part({ ...adam, lanes: lanes * columns }, 1)} + j;
  let d_g = d_gradient[j];
  let d_m = ${float(beta1)} * d_moments[j] + ${float(1 - beta1)} * d_g;
  let d_s = ${float(beta2)} * d_moments[second] + ${float(2 * (1 - beta2))} * g * d_g;
  d_moments[j] = d_m;
  d_moments[second] = d_s;
  d_parameters[j] = ${weightDecay > 0 ? `${keep(adam)} * d_parameters[j]` : "d_parameters[j]"} - a * d_m + b * d_s;
}`;
}
