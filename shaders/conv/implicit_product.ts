import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { declareStored, type Output } from "../epilogue.ts";
import { at, dualInput, lineOfGroups, type Operand, orderOnLine, readElement } from "../operand.ts";
import { range } from "../range.ts";
import { addProduct, type Conv, halvesOf, load, startSums, store } from "./window.ts";

/**
 * A convolution or one of its adjoints as a product of two matrices that are never written out, for GPUs: a workgroup
 * holds tiles of both in shared memory.
 */
interface Product {
  readonly rows: number;
  readonly columns: number;
  /** Terms of each sum; in how many parts they are added up. */
  readonly terms: number;
  readonly parts: number;
  readonly left: Matrix;
  readonly right: Matrix;
  readonly out: Output;
  /** WGSL (u32) for where the output of row `i`, column `j` stands. */
  readonly place: string;
  readonly bias?: Operand | undefined;
  /** Inputs ahead of the output among the bindings. */
  readonly slot: number;
}

interface Matrix {
  readonly name: string;
  readonly operand: Operand;
  /** WGSL statements that set `index`, from `i` (row of the left, column of the right matrix) and `p`, the term. */
  readonly locate: string;
  /** WGSL for whether that element is there; else it is zero. */
  readonly inside: string;
  /** Do neighbouring terms stand side by side in memory, rather than neighbouring rows or columns? */
  readonly alongTerms: boolean;
}

/** A workgroup has SIDE × SIDE threads; it shares DEPTH terms at a time, of which four tiles fit 16 KiB. */
const SIDE = 16;
const DEPTH = 8;

/**
 * Outputs of a thread along an axis of the product, SIDE apart: neighbouring threads read neighbouring elements, of
 * different memory banks, and write neighbouring ones.
 */
const ownOf = (extent: number) => (extent > 2 * SIDE ? 4 : extent > SIDE ? 2 : 1);

interface Extent {
  readonly rows: number;
  readonly columns: number;
  readonly parts: number;
}

const blocksAlong = (extent: number) => Math.ceil(extent / (SIDE * ownOf(extent)));

/** Workgroups of a lane. */
const groupsOf = ({ rows, columns, parts }: Extent) => blocksAlong(rows) * blocksAlong(columns) * parts;

/** They in x and y. */
const gridOf = (extent: Extent) => lineOfGroups(groupsOf(extent));

const forwardExtent = ({ n, o, oh, ow }: Conv): Extent => ({ rows: n * oh * ow, columns: o, parts: 1 });
const inputExtent = ({ n, c, h, w }: Conv): Extent => ({ rows: n * h * w, columns: c, parts: 1 });
const weightExtent = (conv: Conv): Extent => ({
  ...{ rows: conv.c * conv.kh * conv.kw, columns: conv.o },
  parts: weightParts(conv),
});

/** Workgroups that a GPU is to have at least, and terms that make one worth it. */
const WANTED = 256;
const LEAST_TERMS = 256;

/** Parts of the sums over images and pixels: outputs alone are too few to fill a GPU. */
export function weightParts({ n, oh, ow, c, kh, kw, o }: Conv): number {
  const groups = groupsOf({ rows: c * kh * kw, columns: o, parts: 1 });
  return Math.max(1, Math.min(Math.floor(WANTED / groups), Math.floor((n * oh * ow) / LEAST_TERMS)));
}

export const implicitForwardGrid = (conv: Conv) => gridOf(forwardExtent(conv));
export const implicitInputGradientGrid = (conv: Conv) => gridOf(inputExtent(conv));
export const implicitWeightGradientGrid = (conv: Conv) => gridOf(weightExtent(conv));

export function implicitForward(
  conv: Conv,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  y: Output,
): string {
  const { c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return implicitProduct({
    ...forwardExtent(conv),
    slot: 3,
    terms: c * kh * kw,
    left: {
      name: "xs",
      operand: x,
      alongTerms: false,
      locate: `let row = i32(i / ${ow}u % ${oh}u * ${stride}u + p / ${kw}u % ${kh}u) - ${padding};
      let column = i32(i % ${ow}u * ${stride}u + p % ${kw}u) - ${padding};
      let index = ((i / ${oh * ow}u * ${c}u + p / ${kh * kw}u) * ${h}u + u32(row)) * ${w}u + u32(column);`,
      inside: `row >= 0 && row < ${h} && column >= 0 && column < ${w}`,
    },
    right: {
      name: "ws",
      operand: weight,
      alongTerms: true,
      locate: `let index = i * ${c * kh * kw}u + p;`,
      inside: "true",
    },
    out: y,
    place: `(i / ${oh * ow}u * ${o}u + j) * ${oh * ow}u + i % ${oh * ow}u`,
    bias,
  });
}

export function implicitInputGradient(conv: Conv, y: Operand, weight: Operand, x: Output): string {
  const { c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return implicitProduct({
    ...inputExtent(conv),
    slot: 2,
    terms: o * kh * kw,
    left: {
      name: "ys",
      operand: y,
      alongTerms: false,
      locate: `let down = i32(i / ${w}u % ${h}u + ${padding}u) - i32(p / ${kw}u % ${kh}u);
      let along = i32(i % ${w}u + ${padding}u) - i32(p % ${kw}u);
      let row = down / ${stride};
      let column = along / ${stride};
      let index = ((i / ${h * w}u * ${o}u + p / ${kh * kw}u) * ${oh}u + u32(row)) * ${ow}u + u32(column);`,
      inside: `down >= 0 && along >= 0 && down % ${stride} == 0 && along % ${stride} == 0 && row < ${oh} && column < ${ow}`,
    },
    right: {
      name: "ws",
      operand: weight,
      alongTerms: false,
      locate: `let index = (p / ${kh * kw}u * ${c}u + i) * ${kh * kw}u + p % ${kh * kw}u;`,
      inside: "true",
    },
    out: x,
    place: `(i / ${h * w}u * ${c}u + j) * ${h * w}u + i % ${h * w}u`,
  });
}

/** In `weightParts(conv)` parts: sums [parts×o×c×kh×kw]. */
export function implicitWeightGradient(conv: Conv, x: Operand, y: Operand, sums: Operand): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  const taps = c * kh * kw;
  return implicitProduct({
    ...weightExtent(conv),
    slot: 2,
    terms: n * oh * ow,
    left: {
      name: "xs",
      operand: x,
      alongTerms: true,
      locate: `let row = i32(p / ${ow}u % ${oh}u * ${stride}u + i / ${kw}u % ${kh}u) - ${padding};
      let column = i32(p % ${ow}u * ${stride}u + i % ${kw}u) - ${padding};
      let index = ((p / ${oh * ow}u * ${c}u + i / ${kh * kw}u) * ${h}u + u32(row)) * ${w}u + u32(column);`,
      inside: `row >= 0 && row < ${h} && column >= 0 && column < ${w}`,
    },
    right: {
      name: "ys",
      operand: y,
      alongTerms: true,
      locate: `let index = (p / ${oh * ow}u * ${o}u + i) * ${oh * ow}u + p % ${oh * ow}u;`,
      inside: "true",
    },
    out: sums,
    place: `(part * ${o}u + j) * ${taps}u + i`,
  });
}

function implicitProduct(product: Product): string {
  const { rows, columns, terms, parts, left, right, out, place, bias, slot } = product;
  const halves = halvesOf(left.operand, right.operand, out);
  const own = { rows: ownOf(rows), columns: ownOf(columns) };
  const side = { rows: SIDE * own.rows, columns: SIDE * own.columns };
  const length = Math.ceil(terms / parts);
  const names = range(own.rows).flatMap((a) => range(own.columns).map((b) => `${a}_${b}`));
  const sides = [
    { ...left, axis: "rows", extent: rows, first: "firstRow", index: 0 },
    { ...right, axis: "columns", extent: columns, first: "firstColumn", index: 1 },
  ] as const;
  const parted = (index: 0 | 1) =>
    (["", "d_"] as const).filter((prefix) => (prefix === "" ? halves.primal : halves.tangent)[index]);
  /** One element of padding keeps a strided fill off a single memory bank. */
  const pitch = (axis: "rows" | "columns") => side[axis] + 1;
  const tiles = sides.flatMap(({ name, axis, index }) =>
    parted(index).map((prefix) => `var<workgroup> ${prefix}${name}Tile: array<f32, ${pitch(axis) * DEPTH}>;`),
  );
  const fill = ({
    name,
    operand,
    locate,
    inside,
    alongTerms,
    axis,
    extent,
    first,
    index,
  }: (typeof sides)[number]) => `
    for (var e = thread; e < ${side[axis] * DEPTH}u; e += ${SIDE * SIDE}u) {
      let across = ${alongTerms ? `e / ${DEPTH}u` : `e % ${side[axis]}u`};
      let depth = ${alongTerms ? `e % ${DEPTH}u` : `e / ${side[axis]}u`};
      let i = ${first} + across;
      let p = begin + depth;
      ${locate}
      let there = i < ${extent}u && p < last && ${inside};
      ${parted(index)
        .map((prefix) => {
          const view = prefix === "" ? operand.primal : operand.tangent;
          return `var ${prefix}value = 0.0;
      if (there) { ${prefix}value = ${readElement(`${prefix}${name}`, view, "index")}; }
      ${prefix}${name}Tile[depth * ${pitch(axis)}u + across] = ${prefix}value;`;
        })
        .join("\n      ")}
    }`;
  const element = (name: string, axis: "rows" | "columns", local: string, e: number) => (prefix: string) =>
    `${prefix}${name}Tile[depth * ${pitch(axis)}u + local.${local} + ${e * SIDE}u]`;
  const biased = (name: string, prefix: "" | "d_") => {
    const view = prefix === "" ? bias?.primal : bias?.tangent;
    const column = `min(column + ${Number(name.split("_")[1]) * SIDE}u, ${columns - 1}u)`;
    return view ? `${prefix}biases[${at(view, column)}]` : "0.0";
  };
  return wgsl`
${dualInput(0, left.name, left.operand)}
${dualInput(1, right.name, right.operand)}
${bias ? dualInput(2, "biases", bias) : ""}
${declareStored(slot, "outs", out, 1)}
${tiles.join("\n")}
@compute @workgroup_size(${SIDE}, ${SIDE})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = group.z;
  ${orderOnLine(groupsOf({ rows, columns, parts }))}
  let part = order % ${parts}u;
  let firstRow = order / ${parts}u % ${blocksAlong(rows)}u * ${side.rows}u;
  let firstColumn = order / ${parts * blocksAlong(rows)}u * ${side.columns}u;
  let row = firstRow + local.x;
  let column = firstColumn + local.y;
  let last = min((part + 1u) * ${length}u, ${terms}u);
  ${startSums(halves, names, biased)}
  for (var begin = part * ${length}u; begin < last; begin += ${DEPTH}u) {
    ${sides.map(fill).join("")}
    workgroupBarrier();
    for (var depth = 0u; depth < ${DEPTH}u; depth++) {
      ${range(own.rows)
        .map((a) => load(halves, 0, `l${a}`, element(left.name, "rows", "x", a)))
        .join("\n      ")}
      ${range(own.columns)
        .map((b) => load(halves, 1, `r${b}`, element(right.name, "columns", "y", b)))
        .join("\n      ")}
      ${range(own.rows)
        .flatMap((a) => range(own.columns).map((b) => addProduct(halves, `${a}_${b}`, `l${a}`, `r${b}`)))
        .join("\n      ")}
    }
    workgroupBarrier();
  }
  ${range(own.rows)
    .flatMap((a) =>
      range(own.columns).map(
        (b) => `if (row + ${a * SIDE}u < ${rows}u && column + ${b * SIDE}u < ${columns}u) {
    let i = row + ${a * SIDE}u;
    let j = column + ${b * SIDE}u;
    ${store("outs", out, place, `${a}_${b}`)}
  }`,
      ),
    )
    .join("\n  ")}
}`;
}
