import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, float, input, linearMain, output, type View } from "./operand.ts";

/** α = α - lr h; with `decay`, lr / sqrt(τ) at outer step τ = 1, 2, … (`progress[0]` counts the finished steps). */
export function outerSgd(count: number, part: View, { lr, decay }: { lr: number; decay: boolean }): string {
  return wgsl`
${output(0, "alphas", part)}
${input(1, "gradient", part)}
${input(2, "progress", { offset: 0, lane: 0 }, "u32")}
${linearMain(count)}
  let j = ${at(part, "i")};
#if ${decay}
  let rate = ${float(lr)} / sqrt(f32(progress[0] + 1u));
#else
  let rate = ${float(lr)};
#endif
  alphas[j] -= rate * gradient[j];
}`;
}

export interface OuterAdam {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Adam (Kingma & Ba 2015, algorithm 1) with bias correction. The moments of the lanes stand one behind another. */
export function outerAdam(count: number, part: View, { lr, beta1, beta2, epsilon }: OuterAdam): string {
  const moments: View = { offset: 0, lane: count };
  return wgsl`
${output(0, "alphas", part)}
${input(1, "gradient", part)}
${input(2, "progress", { offset: 0, lane: 0 }, "u32")}
${output(3, "firsts", moments)}
${output(4, "seconds", moments)}
// 1 - exp(x) for x <= 0 without cancellation near zero.
fn one_minus_exp(x: f32) -> f32 {
  if (x < -0.5) { return 1.0 - exp(x); }
  return -x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0 * (1.0 + x / 7.0))))));
}
${linearMain(count)}
  let j = ${at(part, "i")};
  let k = ${at(moments, "i")};
  let g = gradient[j];
  let steps = f32(progress[0] + 1u);
  let first = ${float(beta1)} * firsts[k] + ${float(1 - beta1)} * g;
  let second = ${float(beta2)} * seconds[k] + ${float(1 - beta2)} * g * g;
  firsts[k] = first;
  seconds[k] = second;
  let mean = first / one_minus_exp(steps * ${logarithm(beta1)});
  let spread = second / one_minus_exp(steps * ${logarithm(beta2)});
  alphas[j] -= ${float(lr)} * mean / (sqrt(spread) + ${float(epsilon)});
}`;
}

/** The logarithm of a decay in [0, 1) as a literal; a decay of 0 is taken as e^-1000, which is 0 in float32. */
function logarithm(decay: number): string {
  return float(Math.max(Math.log(decay), -1000));
}

const WIDTH = 256;

/** Words of a row of the log for each lane: the bits of its outer loss, and its inner status. */
export const LOG_LANE = 2;

/** Elements from one lane's outer loss to the next. */
export const LOSS_LANE = 4;

/** What stands in a row of the log: the bits of squared norms of h, `LOG_LANE` words a lane, and another record. */
export interface LogRow {
  readonly norms: number;
  readonly lanes: number;
  /** Words of the other record. */
  readonly extra: number;
}

/** Words of a row. */
export function logWords({ norms, lanes, extra }: LogRow): number {
  return norms + LOG_LANE * lanes + extra;
}

/**
 * Ends an outer step: writes row (finished steps mod `rows`) of the log and counts the step. The inner status is
 * the index of the first inner step that diverged, or 2^32 - 1.
 */
export function outerLog(row: LogRow, rows: number): string {
  const { norms, lanes, extra } = row;
  const flat: View = { offset: 0, lane: 0 };
  return wgsl`
${input(0, "losses", flat)}
${input(1, "squares", flat)}
${input(2, "status", flat, "u32")}
${output(3, "progress", flat, "u32")}
${output(4, "rowsOut", flat, "u32")}
${input(5, "record", extra > 0 ? flat : undefined, "u32")}
@compute @workgroup_size(${WIDTH})
fn main(@builtin(local_invocation_index) local: u32) {
  let finished = progress[0];
  // All have read it before one counts on.
  storageBarrier();
  if (local == 0u) { progress[0] = finished + 1u; }
  var start = (finished % ${rows}u) * ${logWords(row)}u;
  for (var i = local; i < ${norms}u; i += ${WIDTH}u) { rowsOut[start + i] = bitcast<u32>(squares[i]); }
  start += ${norms}u;
  for (var l = local; l < ${lanes}u; l += ${WIDTH}u) {
    rowsOut[start + l * ${LOG_LANE}u] = bitcast<u32>(losses[l * ${LOSS_LANE}u]);
    rowsOut[start + l * ${LOG_LANE}u + 1u] = status[l];
  }
#if ${extra > 0}
  start += ${LOG_LANE * lanes}u;
  for (var i = local; i < ${extra}u; i += ${WIDTH}u) { rowsOut[start + i] = record[i]; }
#endif
}`;
}
