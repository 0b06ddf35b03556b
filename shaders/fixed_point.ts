import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { float, input, linearMain, output, type View } from "./operand.ts";
import { declareStatus, note, watch } from "./status.ts";

/**
 * Momentum SGD in whole numbers, w = W / scale.w and v = V / scale.v with powers of two, that can be run backwards bit
 * for bit (Maclaurin et al. 2015, §2.3 and algorithm 3). μ = n / d; what V loses when it is multiplied by it is kept in
 * `bits`.
 */
export interface FixedPoint {
  readonly count: number;
  readonly lane: number;
  readonly scale: { readonly w: number; readonly v: number };
  readonly rate: Coefficient;
  readonly numerator: number;
  readonly denominator: number;
}

const state = (flat: View, velocity: boolean) => `
${output(0, "wholeW", flat, "i32")}
${output(1, "wholeV", flat, "i32")}
${output(2, "bits", flat, "u32")}
${output(3, "w", flat)}
${output(4, "v", velocity ? flat : undefined)}`;

/** What W loses in a step; the same words both ways, for the same bits. */
const move = (rate: Coefficient, { w, v }: FixedPoint["scale"], whole: string) =>
  `i32(round(${coefficient("rate", rate)} * f32(${whole}) * ${float(w / v)}))`;

/** Half of the range is left for one step; who is outside (NaN is) would wrap around unseen. */
const isOutside = (v: string, w: string) => `!(max(abs(${v}), abs(${w})) < ${float(2 ** 30)})`;

/** W, V ← the nearest to w, v, which become what they are; no bits. */
export function fixedPointBegin({ count, lane, scale }: FixedPoint): string {
  return wgsl`${state({ offset: 0, lane }, true)}
${declareStatus(5)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let fullW = round(w[j] * ${float(scale.w)});
  let fullV = round(v[j] * ${float(scale.v)});
  if (${isOutside("fullV", "fullW")}) { ${note("0u")} }
  wholeW[j] = i32(fullW);
  wholeV[j] = i32(fullV);
  bits[j] = 0u;
  w[j] = f32(wholeW[j]) * ${float(1 / scale.w)};
  v[j] = f32(wholeV[j]) * ${float(1 / scale.v)};
}`;
}

/** What a step does beside: the bits so far go to the trajectory, as there is no room left; v is wanted as floats. */
export interface FixedPointStep {
  readonly spill: boolean;
  readonly velocity: boolean;
}

/** V = V n / d + G, W = W - η V. */
export function fixedPointStep(
  { count, lane, scale, rate, numerator, denominator }: FixedPoint,
  { spill, velocity }: FixedPointStep,
): string {
  const flat: View = { offset: 0, lane };
  return wgsl`${state(flat, velocity)}
${input(5, "gradient", flat)}
${output(6, "spilled", spill ? flat : undefined, "u32")}
${declareCoefficient(7, "rate", rate)}
${stepTable(8)}
${declareStatus(9)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  var kept = bits[j];
#if ${spill}
  spilled[j] = kept;
  kept = 0u;
#endif
  var whole = wholeV[j];
  var quotient = whole / ${denominator};
  var rest = whole - quotient * ${denominator};
  if (rest < 0) { rest += ${denominator}; quotient -= 1; }
  kept = kept * ${denominator}u + u32(rest);
  whole = quotient * ${numerator} + i32(kept % ${numerator}u);
  bits[j] = kept / ${numerator}u;
  let force = gradient[j];
  whole += i32(round(force * ${float(scale.v)}));
  wholeV[j] = whole;
  let next = wholeW[j] - ${move(rate, scale, "whole")};
  wholeW[j] = next;
#if ${velocity}
  v[j] = f32(whole) * ${float(1 / scale.v)};
#endif
  w[j] = f32(next) * ${float(1 / scale.w)};
  if (${isOutside("f32(whole)", "f32(next)")}) { ${note("inner.index")} }
  ${watch("force")}
}`;
}

/** The first half of a step backwards: W = W + η V. The gradient there undoes the other. */
export function fixedPointBackW({ count, lane, scale, rate }: FixedPoint): string {
  const flat: View = { offset: 0, lane };
  return wgsl`
${output(0, "wholeW", flat, "i32")}
${input(1, "wholeV", flat, "i32")}
${output(3, "w", flat)}
${declareCoefficient(7, "rate", rate)}
${stepTable(8)}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  let before = wholeW[j] + ${move(rate, scale, "wholeV[j]")};
  wholeW[j] = before;
  w[j] = f32(before) * ${float(1 / scale.w)};
}`;
}

/** The second half: V = (V - G) d / n with the bits that were kept; with `spill`, those before them come back. */
export function fixedPointBackV(
  { count, lane, scale, numerator, denominator }: FixedPoint,
  { spill, velocity }: FixedPointStep,
): string {
  const flat: View = { offset: 0, lane };
  return wgsl`
${output(1, "wholeV", flat, "i32")}
${output(2, "bits", flat, "u32")}
${output(4, "v", velocity ? flat : undefined)}
${input(5, "gradient", flat)}
${input(6, "spilled", spill ? flat : undefined, "u32")}
${linearMain(count)}
  let j = lane * ${lane}u + i;
  var whole = wholeV[j] - i32(round(gradient[j] * ${float(scale.v)}));
  var quotient = whole / ${numerator};
  var rest = whole - quotient * ${numerator};
  if (rest < 0) { rest += ${numerator}; quotient -= 1; }
  let kept = bits[j] * ${numerator}u + u32(rest);
  whole = quotient * ${denominator} + i32(kept % ${denominator}u);
  wholeV[j] = whole;
#if ${spill}
  bits[j] = spilled[j];
#else
  bits[j] = kept / ${denominator}u;
#endif
#if ${velocity}
  v[j] = f32(whole) * ${float(1 / scale.v)};
#endif
}`;
}
