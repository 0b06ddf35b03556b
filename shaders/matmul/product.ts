import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { laneOf, type SecondView, type View } from "../operand.ts";
import { range } from "../range.ts";
import { fit, packed, placed, vector, type Width } from "../width.ts";

/** The shape of one product and what is asked of it: enough to choose a tile. */
export interface MatmulShape {
  m: number;
  n: number;
  k: number;
  /** So many of these products there are: they share an adapter. */
  lanes: number;
  aRow: number;
  aCol: number;
  bRow: number;
  bCol: number;
  a: View;
  b: View;
  bias?: View;
  out: View;
  /** Tangents; one that is absent is zero. They have the strides of their primals. */
  da?: View;
  db?: View;
  dbias?: View;
  dout: View;
  /** Where the sums of the rows of A go, and their tangents, if they are wanted beside; A is stored as its transpose then. */
  sum?: SecondView;
  dsum?: SecondView;
  /** Write `out`? */
  primal: boolean;
  /** Write `dout`? */
  tangent: boolean;
}

/** One factor, seen along the rows of A or the columns of B (`across`) and along the sum (`along`). */
export interface Factor {
  name: "a" | "da" | "b" | "db";
  binding: number;
  axis: "row" | "col";
  view: View;
  across: number;
  along: number;
  extent: number;
}

export function factors(c: MatmulShape): Factor[] {
  const row = { axis: "row", across: c.aRow, along: c.aCol, extent: c.m } as const;
  const col = { axis: "col", across: c.bCol, along: c.bRow, extent: c.n } as const;
  const da = c.tangent ? c.da : undefined;
  const db = c.tangent ? c.db : undefined;
  const all: (Factor | false | undefined)[] = [
    (c.primal || db) && { name: "a", binding: 0, view: c.a, ...row },
    da && { name: "da", binding: 1, view: da, ...row },
    (c.primal || da) && { name: "b", binding: 2, view: c.b, ...col },
    db && { name: "db", binding: 3, view: db, ...col },
  ];
  return all.filter((factor) => !!factor);
}

/** The products to add up, as [sum, left, right]: `s` is the primal sum, `t` the tangent. */
export function terms(c: MatmulShape): [sum: "s" | "t", left: string, right: string][] {
  return [
    ...(c.primal ? [["s", "a", "b"] as ["s", string, string]] : []),
    ...(c.tangent && c.da ? [["t", "da", "b"] as ["t", string, string]] : []),
    ...(c.tangent && c.db ? [["t", "a", "db"] as ["t", string, string]] : []),
  ];
}

/** Bindings, with each factor as scalars or as vectors of `width` elements. */
export function bindings(c: MatmulShape, width: (factor: Factor) => Width, outWidth: Width): string {
  return wgsl`
${factors(c)
  .map((f) => `@group(0) @binding(${f.binding}) var<storage, read> ${f.name}: array<${vector(width(f))}>;`)
  .join("\n")}
#if ${c.primal && c.bias}
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif
#if ${c.tangent && c.dbias}
@group(0) @binding(5) var<storage, read> dbias: array<f32>;
#endif
#if ${c.primal}
@group(0) @binding(6) var<storage, read_write> out: array<${vector(outWidth)}>;
#endif
#if ${c.tangent}
@group(0) @binding(7) var<storage, read_write> dout: array<${vector(outWidth)}>;
#endif
`;
}

/** Rows and columns in steps of which workgroups or threads start: where they divide the matrix nothing hangs over. */
export interface Sides {
  row: number;
  col: number;
  /** From one row or column of a thread to its next; neighbours when absent. */
  step?: { row: number; col: number };
}

/**
 * Sums start at the bias of their column; then products are added; `row` and `col` are those of the first output. With
 * `parts`, which are added up later, the bias is the first part's.
 */
export function sums(c: MatmulShape, rows: number, cols: number, sides: Sides, parts = 1): string {
  const ragged = c.n % sides.col > 0;
  const { col: step } = sides.step ?? { col: 1 };
  const share = parts > 1 ? " * f32(part == 0)" : "";
  const start = (sum: string, name: string, view: View | undefined) => wgsl`
#if ${view !== undefined}
${lines(cols, (j) => `  let ${name}${j} = ${name}[${at(view ?? { offset: 0, lane: 0 })} + ${inside("col", j * step, ragged, c.n - 1)}]${share};`)}
#endif
${lines(rows, (i) => `  ${join(cols, (j) => `var ${sum}${i}_${j} = ${view ? `${name}${j}` : "0f"};`)}`)}`;
  return wgsl`
#if ${c.primal}
${start("s", "bias", c.bias)}
#endif
#if ${c.tangent}
${start("t", "dbias", c.dbias)}
#endif`;
}

/** Adds the products of one term; `element` names what was read of a factor. */
export function accumulate(
  c: MatmulShape,
  rows: number,
  cols: number,
  element: (name: string, i: number) => string,
): string {
  const products = terms(c);
  return lines(rows, (i) =>
    join(cols, (j) =>
      products.map(([sum, l, r]) => `${sum}${i}_${j} += ${element(l, i)} * ${element(r, j)};`).join(" "),
    ),
  );
}

/**
 * Elements that one write brings out. A write to a component may touch its whole vector (WGSL, "Memory accesses"), so sums
 * that stand behind the output allow no vectors.
 */
export function outputWidth(c: MatmulShape, cols: number): Width {
  if (c.sum?.inFirst || c.dsum?.inFirst) return 1;
  return fit([cols, c.n, ...placed(c.primal ? c.out : undefined, c.tangent ? c.dout : undefined)]);
}

/** With `parts`, each part goes behind the one before. */
export function stores(
  c: MatmulShape,
  rows: number,
  cols: number,
  width: number,
  sides: Sides,
  parts = 1,
): string {
  const origin = parts > 1 ? `part * ${c.m * c.n} + ` : "";
  const { row: down, col: along } = sides.step ?? { row: 1, col: 1 };
  const block = (i: number, j: number) => {
    const store = (name: string, sum: string, view: View) => {
      const index = `(${at(view)} + ${origin}(row + ${i * down}) * ${c.n} + col + ${j * along})${over(width)}`;
      return `${name}[${index}] = ${packed(range(width).map((q) => `${sum}${i}_${j + q}`))};`;
    };
    const guards = [
      ...(c.m % sides.row ? [`row + ${i * down} < ${c.m}`] : []),
      ...(c.n % sides.col ? [`col + ${j * along} < ${c.n}`] : []),
    ];
    const body = [
      ...(c.primal ? [store("out", "s", c.out)] : []),
      ...(c.tangent ? [store("dout", "t", c.dout)] : []),
    ].join(" ");
    return guards.length ? `  if (${guards.join(" && ")}) { ${body} }` : `  ${body}`;
  };
  return lines(rows, (i) => lines(cols / width, (j) => block(i, j * width)));
}

export const over = (width: number) => (width === 1 ? "" : ` / ${width}`);
export const at = (view: View) =>
  view.lane === 0 ? `${view.offset}u` : `${view.offset} + ${laneOf(view)} * ${view.lane}`;

/** The index `row + i` or `col + i`; where a block may hang over the edge, no more than `last`. */
export const inside = (axis: string, i: number, ragged: boolean, last: number) =>
  ragged ? `min(${axis} + ${i}, ${last})` : `(${axis} + ${i})`;

export const join = (count: number, text: (i: number) => string, separator = " ") =>
  Array.from({ length: count }, (_, i) => text(i)).join(separator);
export const lines = (count: number, text: (i: number) => string) => join(count, text, "\n");
