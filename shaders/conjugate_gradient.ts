import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, float, input, output, type View } from "./operand.ts";
import { foldTree } from "./tree.ts";

const WIDTH = 256;

/** What a solve came to. */
export const SOLVE = { running: 0, converged: 1, negativeCurvature: 2, zeroRightHandSide: 3 } as const;

/** Words a lane in the record of a solve: status, iterations, and as floats ‖r‖² and ‖g‖². */
export const SOLVE_ROW = 4;

/** Of ‖r‖ to ‖g‖: a number, or bound as a buffer that holds one. */
export type Tolerance = number | "bound";

const declare = (binding: number, tolerance: Tolerance) =>
  input(binding, "tolerance", tolerance === "bound" ? { offset: 0, lane: 0 } : undefined);

const squared = (tolerance: Tolerance) =>
  tolerance === "bound" ? "tolerance[0] * tolerance[0]" : float(tolerance * tolerance);

const record = `struct Solve { status: u32, iterations: u32, residual: f32, norm: f32 }
@group(0) @binding(0) var<storage, read_write> solves: array<Solve>;
var<workgroup> sums: array<f32, ${WIDTH}>;
var<workgroup> total: f32;`;

const head = `@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;`;

/** WGSL that leaves the sum of `term` over a lane's elements in `name`, the same in all invocations. */
function sum(name: string, count: number, term: string): string {
  return `
  var ${name}_part = 0.0;
  for (var i = local; i < ${count}u; i += ${WIDTH}u) { ${name}_part += ${term}; }
  sums[local] = ${name}_part;
  ${foldTree("sums", WIDTH)}
  if (local == 0u) { total = sums[0]; }
  let ${name} = workgroupUniformLoad(&total);`;
}

/**
 * Begins conjugate gradients on H q = g, a workgroup a lane: r = g and q = 0, or with `warm` r = g - Hq for the q
 * that is there; d = r.
 */
export function conjugateBegin(
  count: number,
  flat: View,
  { tolerance, warm }: { tolerance: Tolerance; warm: boolean },
): string {
  const j = at(flat, "i");
  return wgsl`
${record}
${input(1, "g", flat)}
${output(2, "q", flat)}
${output(3, "r", flat)}
${output(4, "d", flat)}
${input(5, "hq", warm ? flat : undefined)}
${declare(6, tolerance)}
${head}
  for (var i = local; i < ${count}u; i += ${WIDTH}u) {
#if ${warm}
    let residual = g[${j}] - hq[${j}];
#else
    let residual = g[${j}];
    q[${j}] = 0.0;
#endif
    r[${j}] = residual;
    d[${j}] = residual;
  }
${sum("gg", count, `g[${j}] * g[${j}]`)}
${sum("rr", count, `r[${j}] * r[${j}]`)}
  if (local == 0u) {
    var status = ${SOLVE.running}u;
    if (rr <= ${squared(tolerance)} * gg) { status = ${SOLVE.converged}u; }
    if (gg == 0.0) { status = ${SOLVE.zeroRightHandSide}u; }
    solves[lane] = Solve(status, 0u, rr, gg);
  }
  // With g = 0 the answer is 0, also after a warm start from elsewhere.
  if (gg == 0.0) {
    for (var i = local; i < ${count}u; i += ${WIDTH}u) { q[${j}] = 0.0; }
  }
}`;
}

/**
 * One iteration after Hd is there: a = ⟨r, r⟩ / ⟨d, Hd⟩, q += a d, r -= a Hd, d = r + (⟨r', r'⟩ / ⟨r, r⟩) d. Once the
 * residual is small enough, or d has no positive curvature, nothing moves any more.
 */
export function conjugateStep(count: number, flat: View, { tolerance }: { tolerance: Tolerance }): string {
  const j = at(flat, "i");
  return wgsl`
${record}
${input(1, "hd", flat)}
${output(2, "q", flat)}
${output(3, "r", flat)}
${output(4, "d", flat)}
${declare(5, tolerance)}
var<workgroup> state: Solve;
${head}
  if (local == 0u) { state = solves[lane]; }
  let before = workgroupUniformLoad(&state);
  if (before.status != ${SOLVE.running}u) { return; }
${sum("curvature", count, `d[${j}] * hd[${j}]`)}
  if (!(curvature > 0.0)) {
    if (local == 0u) { solves[lane].status = ${SOLVE.negativeCurvature}u; }
    return;
  }
  let a = before.residual / curvature;
  for (var i = local; i < ${count}u; i += ${WIDTH}u) {
    q[${j}] += a * d[${j}];
    r[${j}] -= a * hd[${j}];
  }
${sum("rr", count, `r[${j}] * r[${j}]`)}
  let b = rr / before.residual;
  for (var i = local; i < ${count}u; i += ${WIDTH}u) { d[${j}] = r[${j}] + b * d[${j}]; }
  if (local == 0u) {
    var status = ${SOLVE.running}u;
    if (rr <= ${squared(tolerance)} * before.norm) { status = ${SOLVE.converged}u; }
    solves[lane] = Solve(status, before.iterations + 1u, rr, before.norm);
  }
}`;
}
