import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, float, input, linearMain, output, type View } from "./operand.ts";
import { foldTree } from "./tree.ts";

const WIDTH = 256;

/** k columns of a Hessian for each lane, [column][lane][lane stride]; column j is the one of parameter `indices[j]`. */
export interface HessianColumns {
  readonly count: number;
  readonly view: View;
  readonly lanes: number;
  readonly indices: readonly number[];
}

/** WGSL for the number of elements before column `j` of the current lane. */
const start = ({ view, lanes }: HessianColumns, j: string) => `(${j} * ${lanes}u + lane) * ${view.lane}u`;

/** Of the current lane's system. */
const system = (k: number) => `lane * ${k * (k + 1)}u`;

/**
 * The system of Nyström's inverse of each lane, [k × (k+1)]: left W + CᵀC / ρ with W_ij = C_j[index_i], right Cᵀg / ρ; a
 * workgroup for each of its numbers. Bindings: 0 C, 1 g, 2 the indices, 3 the system.
 */
export function nystromSystem(shape: HessianColumns, rho: number): string {
  const { count, view, indices } = shape;
  const k = indices.length;
  return wgsl`
${input(0, "columns", view)}
${input(1, "g", view)}
${input(2, "indices", view, "u32")}
${output(3, "system", view)}
var<workgroup> sums: array<f32, ${WIDTH}>;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  let row = ${start(shape, "group.y")};
  let column = ${start(shape, "group.x")};
  var sum = 0.0;
  for (var i = local; i < ${count}u; i += ${WIDTH}u) {
    var right = 0.0;
    if (group.x == ${k}u) { right = g[${at(view, "i")}]; } else { right = columns[column + i]; }
    sum += columns[row + i] * right;
  }
  sums[local] = sum;
  ${foldTree("sums", WIDTH)}
  if (local == 0u) {
    var entry = sums[0] / ${float(rho)};
    if (group.x < ${k}u) { entry += 0.5 * (columns[column + indices[group.y]] + columns[row + indices[group.x]]); }
    system[${system(k)} + group.y * ${k + 1}u + group.x] = entry;
  }
}`;
}

/** Solves a [k × (k+1)] system of each lane in place by Gauss-Jordan with row pivots; the answer stands in the last column. */
export function solveSystem(k: number): string {
  const width = k + 1;
  return wgsl`
@group(0) @binding(0) var<storage, read_write> system: array<f32>;
var<workgroup> pivot: u32;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  let first = ${system(k)};
  for (var c = 0u; c < ${k}u; c++) {
    if (local == 0u) {
      pivot = c;
      for (var i = c + 1u; i < ${k}u; i++) {
        if (abs(system[first + i * ${width}u + c]) > abs(system[first + pivot * ${width}u + c])) { pivot = i; }
      }
    }
    let chosen = workgroupUniformLoad(&pivot);
    for (var j = local; j < ${width}u; j += ${WIDTH}u) {
      let upper = system[first + c * ${width}u + j];
      let lower = system[first + chosen * ${width}u + j];
      system[first + chosen * ${width}u + j] = upper;
      system[first + c * ${width}u + j] = lower;
    }
    storageBarrier();
    // A column of zeros, as of a parameter that does not count: its row is zero as well, and so may its unknown be.
    let head = system[first + c * ${width}u + c];
    let divisor = select(head, 1.0, head == 0.0);
    // Column c is read by all rows until they are done, so it stays; it is not needed afterwards.
    for (var e = local; e < ${k * width}u; e += ${WIDTH}u) {
      let i = e / ${width}u;
      let j = e % ${width}u;
      if (i != c && j > c) {
        system[first + e] -= system[first + i * ${width}u + c] / divisor * system[first + c * ${width}u + j];
      }
    }
    storageBarrier();
    for (var j = c + 1u + local; j < ${width}u; j += ${WIDTH}u) { system[first + c * ${width}u + j] /= divisor; }
    storageBarrier();
  }
}`;
}

/** q = (g - C x) / ρ with x in the last column of the solved system. Bindings: 0 C, 1 g, 2 the system, 3 q. */
export function nystromApply(shape: HessianColumns, rho: number): string {
  const { count, view, indices } = shape;
  const k = indices.length;
  return wgsl`
${input(0, "columns", view)}
${input(1, "g", view)}
${input(2, "system", view)}
${output(3, "q", view)}
${linearMain(count)}
  var sum = g[${at(view, "i")}];
  for (var j = 0u; j < ${k}u; j++) {
    sum -= system[${system(k)} + j * ${k + 1}u + ${k}u] * columns[${start(shape, "j")} + i];
  }
  q[${at(view, "i")}] = sum / ${float(rho)};
}`;
}
