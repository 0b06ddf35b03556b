import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { SOLVE_ROW } from "./conjugate_gradient.ts";
import { input, linearMain, output, type View } from "./operand.ts";
import { LOSS_LANE } from "./outer_step.ts";

const whole: View = { offset: 0, lane: 0 };

/** before = α, then α = α - c h, where c is the one number in `stepLength`. */
export function hyperStep(count: number): string {
  return wgsl`
${output(0, "alphas", whole)}
${input(1, "gradient", whole)}
${input(2, "stepLength", whole)}
${output(3, "before", whole)}
${linearMain(count)}
  let a = alphas[i];
  before[i] = a;
  alphas[i] = a - stepLength[0] * gradient[i];
}`;
}

/** Words of a report before those of the lanes, and for each lane. */
export const REPORT = { head: 4, lane: 4 + SOLVE_ROW } as const;

/** The squares that a report takes: ‖h‖², that of the last move of α, then ‖∇_w L‖² of each lane. */
export const SQUARES = { hypergradient: 0, move: 1, lanes: 2 } as const;

/**
 * Gathers what the host decides on. Head: the least inner status of the lanes, the bits of ‖h‖² and of the squared
 * length of the last move; of each lane the bits of E and ‖∇_w L‖² and, from word 4 on, the record of its linear solve.
 */
export function report(lanes: number): string {
  return wgsl`
${input(0, "status", whole, "u32")}
${input(1, "squares", whole)}
${input(2, "losses", whole)}
${input(3, "solves", whole, "u32")}
${output(4, "words", whole, "u32")}
@compute @workgroup_size(1)
fn main() {
  var first = status[0];
  for (var l = 1u; l < ${lanes}u; l++) { first = min(first, status[l]); }
  words[0] = first;
  words[1] = bitcast<u32>(squares[${SQUARES.hypergradient}]);
  words[2] = bitcast<u32>(squares[${SQUARES.move}]);
  for (var l = 0u; l < ${lanes}u; l++) {
    let row = ${REPORT.head}u + ${REPORT.lane}u * l;
    words[row] = bitcast<u32>(losses[l * ${LOSS_LANE}u]);
    words[row + 1u] = bitcast<u32>(squares[${SQUARES.lanes}u + l]);
    for (var i = 0u; i < ${SOLVE_ROW}u; i++) { words[row + 4u + i] = solves[l * ${SOLVE_ROW}u + i]; }
  }
}`;
}
