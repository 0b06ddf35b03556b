import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, input, output, type View } from "./operand.ts";
import { foldTree } from "./tree.ts";

const WIDTH = 256;

/** Elements that a workgroup adds up: enough for the tree at the end to be a small part of its work. */
export const SECTION = 64 * WIDTH;

/** The first binding of what is done with a sum; those before it are the sum's own. */
export const AFTER = 6;

/** A sum over `count` elements in each lane, in WGSL. */
export interface LaneSum {
  readonly count: number;
  /** Declares what the terms read, or write on the way, from binding 0 on. */
  readonly declarations: string;
  /** The term of element `i` of lane `lane`. */
  readonly term: string;
  /** Statements before it. */
  readonly before?: string;
  /** Two sums at once are a vec2f. */
  readonly type?: "f32" | "vec2f";
}

/** What one invocation of each lane does with its `sum`, in WGSL. */
export interface Finish {
  /** From binding `AFTER` on. */
  readonly declarations: string;
  readonly code: string;
}

/** ⟨x, y⟩ */
export const dot = (count: number, x: View, y: View): LaneSum => ({
  count,
  declarations: `${input(0, "xs", x)}
${input(1, "ys", y)}`,
  term: `xs[${at(x, "i")}] * ys[${at(y, "i")}]`,
});

/** ‖x‖² */
export const squaredLength = (count: number, x: View): LaneSum => ({
  count,
  declarations: input(0, "xs", x),
  before: `let x = xs[${at(x, "i")}];`,
  term: "x * x",
});

/** ‖x - y‖² */
export const squaredDistance = (count: number, flat: View): LaneSum => ({
  count,
  declarations: `${input(0, "xs", flat)}
${input(1, "ys", flat)}`,
  before: `let x = xs[${at(flat, "i")}] - ys[${at(flat, "i")}];`,
  term: "x * x",
});

/** sums[first + lane] = sum */
export const store = (first: number): Finish => ({
  declarations: output(AFTER, "sums_out", { offset: 0, lane: 0 }),
  code: `sums_out[${first}u + lane] = sum;`,
});

/** The parts that a long sum is left in, one for each section: a workgroup each, and the first kernel of two. */
export const parts = ({ count }: LaneSum): number => Math.ceil(count / SECTION);

const partsView = (sum: LaneSum): View => ({ offset: 0, lane: parts(sum) });

/** parts[lane × section] = the sum over the section. */
export const storeParts = (sum: LaneSum): Finish => ({
  declarations: output(AFTER, "parts", partsView(sum), sum.type),
  code: `parts[${at(partsView(sum), "group.x")}] = sum;`,
});

/** The sum of those. */
export const sumOfParts = (sum: LaneSum): LaneSum => ({
  count: parts(sum),
  declarations: input(0, "parts", partsView(sum), sum.type),
  term: `parts[${at(partsView(sum), "i")}]`,
  ...(sum.type && { type: sum.type }),
});

/** A workgroup for each section and lane: strided partial sums, then a tree. The order follows from the count alone. */
export function laneSum(
  { count, declarations, before = "", term, type = "f32" }: LaneSum,
  finish: Finish,
): string {
  return wgsl`
${declarations}
${finish.declarations}
var<workgroup> sums: array<${type}, ${WIDTH}>;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  let last = min(${count}u, (group.x + 1u) * ${SECTION}u);
  var part = ${type}();
  for (var i = group.x * ${SECTION}u + local; i < last; i += ${WIDTH}u) {
    ${before}
    part += ${term};
  }
  sums[local] = part;
  ${foldTree("sums", WIDTH)}
  if (local == 0u) {
    let sum = sums[0];
    ${finish.code}
  }
}`;
}
