import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, float, input, linearMain, output, type View } from "./operand.ts";
import { foldTree } from "./tree.ts";

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

/** Adam (Kingma & Ba 2015, algorithm 1) with bias correction. */
export function outerAdam(count: number, part: View, { lr, beta1, beta2, epsilon }: OuterAdam): string {
  return wgsl`
${output(0, "alphas", part)}
${input(1, "gradient", part)}
${input(2, "progress", { offset: 0, lane: 0 }, "u32")}
${output(3, "firsts", { offset: 0, lane: 0 })}
${output(4, "seconds", { offset: 0, lane: 0 })}
// 1 - exp(x) for x <= 0 without cancellation near zero.
fn one_minus_exp(x: f32) -> f32 {
  if (x < -0.5) { return 1.0 - exp(x); }
  return -x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0 * (1.0 + x / 7.0))))));
}
${linearMain(count)}
  let j = ${at(part, "i")};
  let g = gradient[j];
  let steps = f32(progress[0] + 1u);
  let first = ${float(beta1)} * firsts[i] + ${float(1 - beta1)} * g;
  let second = ${float(beta2)} * seconds[i] + ${float(1 - beta2)} * g * g;
  firsts[i] = first;
  seconds[i] = second;
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

/** Words in one row of the log: outer loss (mean over lanes) and squared norm of the hypergradient as the bits of floats, inner status. */
export const LOG_ROW = 4;

/** Elements from one lane's outer loss to the next. */
export const LOSS_LANE = 4;

/**
 * Ends an outer step: writes row (finished steps mod `rows`) of the log and counts the step. The inner status is
 * the index of the first inner step that diverged, or 2^32 - 1. After that stand `extra` words of another record.
 */
export function outerLog(lanes: number, count: number, rows: number, extra: number): string {
  const flat: View = { offset: 0, lane: 0 };
  return wgsl`
${input(0, "losses", flat)}
${input(1, "gradient", flat)}
${input(2, "status", flat, "u32")}
${output(3, "progress", flat, "u32")}
${output(4, "rowsOut", flat, "u32")}
${input(5, "record", extra > 0 ? flat : undefined, "u32")}
var<workgroup> sums: array<f32, ${WIDTH}>;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  for (var i = local; i < ${count}u; i += ${WIDTH}u) { sum += gradient[i] * gradient[i]; }
  sums[local] = sum;
  ${foldTree("sums", WIDTH)}
  if (local == 0u) {
    var loss = 0.0;
    for (var l = 0u; l < ${lanes}u; l++) { loss += losses[l * ${LOSS_LANE}u]; }
    let row = (progress[0] % ${rows}u) * ${LOG_ROW + extra}u;
    rowsOut[row] = bitcast<u32>(loss / ${float(lanes)});
    rowsOut[row + 1u] = bitcast<u32>(sums[0]);
    rowsOut[row + 2u] = status[0];
#if ${extra > 0}
    for (var i = 0u; i < ${extra}u; i++) { rowsOut[row + ${LOG_ROW}u + i] = record[i]; }
#endif
    progress[0] += 1u;
  }
}`;
}
