import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, input, output, type View } from "./operand.ts";
import { range } from "./range.ts";
import { BLOCK } from "./reduce.ts";
import { foldTree } from "./tree.ts";
import type { AdapterTraits } from "./variants.ts";

/** Elements that a workgroup adds up: enough for the tree at the end to be a small part of its work. */
export const SECTION = 64 * 256;

/** Threads of a workgroup: on software adapters, to which a barrier costs hundreds of additions, those in step alone. */
export const sumThreads = ({ kind }: Pick<AdapterTraits, "kind">): number => (kind === "hardware" ? 256 : 8);

/** Terms in a turn of the loop. */
const TURN = 4;

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

/**
 * A workgroup of `threads` (a power of two) for each section and lane: strided partial sums by blocks, then a tree. The
 * order follows from the count and the threads.
 */
export function laneSum(
  { count, declarations, before = "", term, type = "f32" }: LaneSum,
  finish: Finish,
  threads: number,
): string {
  const block = BLOCK * threads;
  return wgsl`
${declarations}
${finish.declarations}
var<workgroup> sums: array<${type}, ${threads}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  let last = min(${count}u, (group.x + 1u) * ${SECTION}u);
  var whole = ${type}();
  for (var first = group.x * ${SECTION}u; first < last; first += ${block}u) {
    var part = ${type}();
    if (first + ${block}u <= last) {
      for (var next = first + local; next < first + ${block}u; next += ${TURN * threads}u) {
        ${range(TURN)
          .map((k) => `{ let i = next + ${k * threads}u; ${before} part += ${term}; }`)
          .join("\n        ")}
      }
    } else {
      for (var i = first + local; i < last; i += ${threads}u) {
        ${before}
        part += ${term};
      }
    }
    whole += part;
  }
  sums[local] = whole;
  ${foldTree("sums", threads)}
  if (local == 0u) {
    let sum = sums[0];
    ${finish.code}
  }
}`;
}
