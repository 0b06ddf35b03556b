import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { AFTER, type Finish, type LaneSum } from "./lane_sum.ts";
import { at, float, input, linearMain, output, type View } from "./operand.ts";

/** What a solve came to. */
export const SOLVE = { running: 0, converged: 1, negativeCurvature: 2, zeroRightHandSide: 3 } as const;

/** Words a lane in the record of a solve: status, iterations, and as floats ‖r‖² and ‖g‖². */
export const SOLVE_ROW = 4;

/** Of ‖r‖ to ‖g‖: a number, or bound as a buffer that holds one. */
export type Tolerance = number | "bound";

const one: View = { offset: 0, lane: 1 };

const squared = (tolerance: Tolerance) =>
  tolerance === "bound" ? "tolerance[0] * tolerance[0]" : float(tolerance * tolerance);

const record = (binding: number, access: "read" | "read_write") =>
  `struct Solve { status: u32, iterations: u32, residual: f32, norm: f32 }
@group(0) @binding(${binding}) var<storage, ${access}> solves: array<Solve>;`;

const declareTolerance = (binding: number, tolerance: Tolerance) =>
  input(binding, "tolerance", tolerance === "bound" ? { offset: 0, lane: 0 } : undefined);

/**
 * Conjugate gradients on H q = g begin: r = g and q = 0, or with `warm` r = g - Hq for the q that is there; d = r. The
 * sums are ‖g‖² and ‖r‖².
 */
export function conjugateStart(count: number, flat: View, { warm }: { warm: boolean }): LaneSum {
  const j = at(flat, "i");
  return {
    count,
    type: "vec2f",
    declarations: wgsl`
${input(0, "g", flat)}
${output(1, "r", flat)}
${output(2, "d", flat)}
#if ${warm}
${input(3, "hq", flat)}
#else
${output(3, "q", flat)}
#endif`,
    before: wgsl`
#if ${warm}
    let residual = g[${j}] - hq[${j}];
#else
    let residual = g[${j}];
    q[${j}] = 0.0;
#endif
    r[${j}] = residual;
    d[${j}] = residual;`,
    term: `vec2f(g[${j}] * g[${j}], residual * residual)`,
  };
}

/** The record of a solve that begins with these ‖g‖² and ‖r‖². */
export const recordStart = (tolerance: Tolerance): Finish => ({
  declarations: `${record(AFTER, "read_write")}
${declareTolerance(AFTER + 1, tolerance)}`,
  code: `var status = ${SOLVE.running}u;
    if (sum.y <= ${squared(tolerance)} * sum.x) { status = ${SOLVE.converged}u; }
    if (sum.x == 0.0) { status = ${SOLVE.zeroRightHandSide}u; }
    solves[lane] = Solve(status, 0u, sum.y, sum.x);`,
});

/** a = ‖r‖² / ⟨d, Hd⟩, the sum, or 0 where the solve has ended, as it does where d has no positive curvature. */
export const stepLength: Finish = {
  declarations: `${record(AFTER, "read_write")}
${output(AFTER + 1, "lengths", one)}`,
  code: `var a = 0.0;
    if (solves[lane].status == ${SOLVE.running}u) {
      if (sum > 0.0) { a = solves[lane].residual / sum; } else { solves[lane].status = ${SOLVE.negativeCurvature}u; }
    }
    lengths[lane] = a;`,
};

/** q += a d, r -= a Hd, where the solve goes on; the sum is the new ‖r‖². */
export function conjugateStep(count: number, flat: View): LaneSum {
  const j = at(flat, "i");
  return {
    count,
    declarations: `${input(0, "d", flat)}
${input(1, "hd", flat)}
${output(2, "q", flat)}
${output(3, "r", flat)}
${input(4, "lengths", one)}`,
    before: `let a = lengths[lane];
    if (a != 0.0) {
      q[${j}] += a * d[${j}];
      r[${j}] -= a * hd[${j}];
    }`,
    term: `r[${j}] * r[${j}]`,
  };
}

/** The record after an iteration, and b = ‖r'‖² / ‖r‖², or 0 where the solve had ended. */
export const recordStep = (tolerance: Tolerance): Finish => ({
  declarations: `${record(AFTER, "read_write")}
${output(AFTER + 1, "ratios", one)}
${declareTolerance(AFTER + 2, tolerance)}`,
  code: `let solve = solves[lane];
    var b = 0.0;
    if (solve.status == ${SOLVE.running}u) {
      var status = ${SOLVE.running}u;
      if (sum <= ${squared(tolerance)} * solve.norm) { status = ${SOLVE.converged}u; }
      solves[lane] = Solve(status, solve.iterations + 1u, sum, solve.norm);
      b = sum / solve.residual;
    }
    ratios[lane] = b;`,
});

/** d = r + b d while the solve goes on. With g = 0 the answer is q = 0, also after a warm start from elsewhere. */
export function conjugateTurn(count: number, flat: View): string {
  const j = at(flat, "i");
  return wgsl`
${record(0, "read")}
${input(1, "r", flat)}
${output(2, "d", flat)}
${output(3, "q", flat)}
${input(4, "ratios", one)}
${linearMain(count)}
  let status = solves[lane].status;
  if (status == ${SOLVE.running}u) { d[${j}] = r[${j}] + ratios[lane] * d[${j}]; }
  if (status == ${SOLVE.zeroRightHandSide}u) { q[${j}] = 0.0; }
}`;
}
