import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Chain, declareChain, evaluateChain } from "./chain.ts";
import { at, dualOutput, linearMain, type Operand, orderOnLine } from "./operand.ts";
import { foldTree } from "./tree.ts";
import { fit, type Width } from "./width.ts";

/** A tensor seen as outer × reduced × inner; the middle axis is summed away. */
export interface Reduction {
  readonly outer: number;
  readonly reduced: number;
  readonly inner: number;
}

/** Invocations that share one sum in the tree form. */
const TREE = 128;

/** Terms that are added up before they join a sum: rounding errors grow with this and the number of blocks alone. */
export const BLOCK = 64;

/** One invocation for each sum, terms in order, by blocks. */
export function reduceSerial(reduction: Reduction, x: Chain, y: Operand): string {
  const { outer, reduced, inner } = reduction;
  // Terms that stand side by side are read as vectors.
  const width = inner === 1 ? fit([reduced]) : 1;
  const [turns, block] = [reduced / width, BLOCK / width];
  return wgsl`
${declareChain(x, width)}
${dualOutput(x.leaves.length, "ys", y)}
${linearMain(outer * inner)}
  var sum = 0.0;
  var d_sum = 0.0;
  let start = (i / ${inner}u) * ${turns * inner}u + i % ${inner}u;
  for (var first = 0u; first < ${turns}u; first += ${block}u) {
    let last = min(first + ${block}u, ${turns}u);
    var part = 0.0;
    var d_part = 0.0;
    for (var r = first; r < last; r++) {
      let j = start + r * ${inner}u;
      ${accumulate(x, y, "part", width)}
    }
    sum += part;
    d_sum += d_part;
  }
  ${store(y, "i")}
}`;
}

/**
 * One workgroup for each sum: strided partial sums, then a tree in shared memory; the order is fixed. A sum may be in
 * parts, for another kernel to add up: y [parts×outer×inner].
 */
export function reduceTree(reduction: Reduction, x: Chain, y: Operand, parts = 1): string {
  const { outer, reduced, inner } = reduction;
  const sums = outer * inner;
  const length = Math.ceil(reduced / parts);
  return wgsl`
${declareChain(x)}
${dualOutput(x.leaves.length, "ys", y)}
var<workgroup> partial: array<vec2f, ${TREE}>;
@compute @workgroup_size(${TREE})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  ${orderOnLine(parts * sums)}
  let whole = order % ${sums}u;
  let first = order / ${sums}u * ${length}u;
  let last = min(first + ${length}u, ${reduced}u);
  let start = (whole / ${inner}u) * ${reduced * inner}u + whole % ${inner}u;
  var sum = 0.0;
  var d_sum = 0.0;
  for (var r = first + local; r < last; r += ${TREE}u) {
    let j = start + r * ${inner}u;
    ${accumulate(x, y, "sum")}
  }
  partial[local] = vec2f(sum, d_sum);
  ${foldTree("partial", TREE)}
  if (local == 0u) {
    sum = partial[0].x;
    d_sum = partial[0].y;
    ${store(y, "order")}
  }
}`;
}

/** Adds the elements from `width` times `j` on to `sum` and their tangents to `d_sum`, or other variables so named. */
function accumulate(x: Chain, y: Operand, sum: string, width: Width = 1): string {
  const { code, results } = evaluateChain(x, "j", width);
  return wgsl`
${code}
#if ${y.primal}
    ${results.map(({ value }) => `${sum} += ${value};`).join(" ")}
#endif
#if ${y.tangent}
    ${results.map(({ tangent = "0.0" }) => `d_${sum} += ${tangent};`).join(" ")}
#endif`;
}

function store(y: Operand, index: string): string {
  return wgsl`
#if ${y.primal}
  ys[${at(y.primal, index)}] = sum;
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, index)}] = d_sum;
#endif`;
}
