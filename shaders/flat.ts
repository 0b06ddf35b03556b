import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { at, float, input, linearMain, output, type View } from "./operand.ts";
import { foldTree } from "./tree.ts";

/** y = decay y + factor c x, elementwise over `count` elements a lane; decay and c may be read from buffers. */
export function accumulate(
  count: number,
  x: View,
  y: View,
  { decay, factor, scale }: { decay: Coefficient; factor: number; scale: Coefficient },
): string {
  return wgsl`
${input(0, "xs", x)}
${output(1, "ys", y)}
${declareCoefficient(2, "scale", scale)}
${stepTable(3)}
${declareCoefficient(4, "decay", decay)}
${linearMain(count)}
  let y = ${decay.literal === 0 ? "0.0" : `${coefficient("decay", decay)} * ys[${at(y, "i")}]`};
  ys[${at(y, "i")}] = y + ${float(factor)} * ${coefficient("scale", scale)} * xs[${at(x, "i")}];
}`;
}

const WIDTH = 256;

/**
 * out[element] += factor c <a, b>, a workgroup for each lane: strided partial sums, then a tree in fixed order.
 * `element` is WGSL of `step` and `lane`.
 */
export function addDot(
  count: number,
  a: View,
  b: View,
  out: View & { readonly element: string },
  { factor, scale }: { factor: number; scale: Coefficient },
): string {
  return wgsl`
${input(0, "lefts", a)}
${input(1, "rights", b)}
${output(2, "outs", out)}
${declareCoefficient(3, "scale", scale)}
${stepTable(4)}
var<workgroup> sums: array<f32, ${WIDTH}>;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  var sum = 0.0;
  for (var i = local; i < ${count}u; i += ${WIDTH}u) { sum += lefts[${at(a, "i")}] * rights[${at(b, "i")}]; }
  sums[local] = sum;
  ${foldTree("sums", WIDTH)}
  if (local == 0u) {
    let j = ${at(out, out.element)};
    outs[j] += ${float(factor)} * ${coefficient("scale", scale)} * sums[0];
  }
}`;
}

/** squares[first + lane] = ‖x‖², with `other` ‖x - y‖²; a workgroup for each lane. */
export function squaredLength(
  count: number,
  flat: View,
  { first, other }: { first: number; other: boolean },
): string {
  const j = at(flat, "i");
  return wgsl`
${input(0, "xs", flat)}
${input(1, "ys", other ? flat : undefined)}
${output(2, "squares", { offset: 0, lane: 0 })}
var<workgroup> sums: array<f32, ${WIDTH}>;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  var sum = 0.0;
  for (var i = local; i < ${count}u; i += ${WIDTH}u) {
#if ${other}
    let x = xs[${j}] - ys[${j}];
#else
    let x = xs[${j}];
#endif
    sum += x * x;
  }
  sums[local] = sum;
  ${foldTree("sums", WIDTH)}
  if (local == 0u) { squares[${first}u + lane] = sums[0]; }
}`;
}

/** y = factor · sum of x over the lanes, in their order. */
export function sumLanes(count: number, lanes: number, x: View, factor: number): string {
  return wgsl`
${input(0, "xs", x)}
${output(1, "ys", { offset: 0, lane: 0 })}
${linearMain(count)}
  var sum = 0.0;
  for (var l = 0u; l < ${lanes}u; l++) { sum += xs[${x.offset}u + l * ${x.lane}u + i]; }
  ys[i] = ${float(factor)} * sum;
}`;
}
