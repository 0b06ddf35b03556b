import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { declareStored, type Epilogue, type Output, storedWidth, storeOutput } from "../epilogue.ts";
import { laneOf, type SecondView, type View } from "../operand.ts";
import { range } from "../range.ts";
import type { RowOperation } from "../rows.ts";
import { unorm8At, unorm8Vector } from "../unorm8.ts";
import { vector, type Width } from "../width.ts";

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
  /** Where the product goes; its tangent in `dout`. */
  out: View;
  /** Tangents; one that is absent is zero. They have the strides of their primals. */
  da?: View;
  db?: View;
  dbias?: View;
  dout: View;
  /** Where the sums of the rows of A go, and their tangents, if they are wanted beside; A is stored as its transpose then. */
  sum?: SecondView;
  dsum?: SecondView;
  /** What is done with each element. */
  after?: readonly Epilogue[];
  /** What is done with each row; a thread, or a workgroup, then has to hold whole ones. */
  rows?: readonly RowOperation[];
  /** Compute the product? */
  primal: boolean;
  /** Compute its tangent? */
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
export function terms(
  c: MatmulShape,
): (readonly [sum: "s" | "t", left: Factor["name"], right: Factor["name"]])[] {
  return [
    ...(c.primal ? [["s", "a", "b"] as const] : []),
    ...(c.tangent && c.da ? [["t", "da", "b"] as const] : []),
    ...(c.tangent && c.db ? [["t", "a", "db"] as const] : []),
  ];
}

/** Bindings, with each factor as scalars or as vectors of `width` elements. */
export function bindings(c: MatmulShape, width: (factor: Factor) => Width, outWidth: Width): string {
  return wgsl`
${factors(c)
  .map(
    (f) =>
      `@group(0) @binding(${f.binding}) var<storage, read> ${f.name}: array<${f.view.isUnorm8 ? "u32" : vector(width(f))}>;`,
  )
  .join("\n")}
#if ${c.primal && c.bias}
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif
#if ${c.tangent && c.dbias}
@group(0) @binding(5) var<storage, read> dbias: array<f32>;
#endif
${declareStored(3, "out", outputOf(c), outWidth)}
${(c.rows ?? []).map(({ declarations }) => declarations).join("\n")}
`;
}

/** WGSL for element `index` (WGSL) of the buffer of a factor, or for the vector of so many that begins there. */
export function read({ name, view }: Factor, index: string, width: Width = 1): string {
  if (view.isUnorm8) return (width === 4 ? unorm8Vector : unorm8At)(name, index);
  return `${name}[${width === 1 ? index : `(${index})${over(width)}`}]`;
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

/** What a thread has read for the next terms of its sums, and what it does with it. */
export interface Turn {
  readonly rows: number;
  readonly cols: number;
  /** Terms of the sum. */
  readonly length: number;
  /** The axis gone along last: its sums and factors are the ones to be kept in registers meanwhile. */
  readonly inner: "row" | "col";
  /** WGSL for what was read of a factor, for its row or column `i` and term `q`. */
  element(name: Factor["name"], i: number, q: number): string;
}

/**
 * Adds the products of some terms. All terms of a sum follow one another closely: a compiler that keeps the order of the
 * text, as llvmpipe's does, then loads and stores sums beyond its registers once a turn, and not once a term.
 */
export function accumulate(c: MatmulShape, { rows, cols, length, inner, element }: Turn): string {
  const products = terms(c);
  const one = (i: number, j: number, q: number) =>
    products.map(([sum, l, r]) => `${sum}${i}_${j} += ${element(l, i, q)} * ${element(r, j, q)};`).join(" ");
  return inner === "col"
    ? lines(rows, (i) => lines(length, (q) => join(cols, (j) => one(i, j, q))))
    : lines(cols, (j) => lines(length, (q) => join(rows, (i) => one(i, j, q))));
}

const outputOf = ({ out, dout, after, primal, tangent }: MatmulShape): Output => ({
  ...(primal && { primal: out }),
  ...(tangent && { tangent: dout }),
  after,
});

/**
 * Elements that one write brings out. A write to a component may touch its whole vector (WGSL, "Memory accesses"), so sums
 * that stand behind the output allow no vectors.
 */
export function outputWidth(c: MatmulShape, cols: number): Width {
  if (c.sum?.inFirst || c.dsum?.inFirst) return 1;
  return storedWidth(outputOf(c), [cols, c.n]);
}

/** With `parts`, each part goes behind the one before. */
export function stores(
  c: MatmulShape,
  rows: number,
  cols: number,
  width: Width,
  sides: Sides,
  parts = 1,
): string {
  const origin = parts > 1 ? `part * ${c.m * c.n} + ` : "";
  const { row: down, col: along } = sides.step ?? { row: 1, col: 1 };
  const block = (i: number, j: number) => {
    const index = `(${origin}(row + ${i * down}) * ${c.n} + col + ${j * along})${over(width)}`;
    const sums = (sum: string) => range(width).map((q) => `${sum}${i}_${j + q}`);
    const guards = [
      ...(c.m % sides.row ? [`row + ${i * down} < ${c.m}`] : []),
      ...(c.n % sides.col ? [`col + ${j * along} < ${c.n}`] : []),
    ];
    const body = storeOutput("out", outputOf(c), index, { primal: sums("s"), tangent: sums("t") });
    return guards.length ? `  if (${guards.join(" && ")}) { ${body} }` : `  ${body}`;
  };
  return lines(
    rows,
    (i) => `${lines(cols / width, (j) => block(i, j * width))}
${rowOperations(c, i, sides)}`,
  );
}

/** WGSL of what is done with row `row + i`. */
function rowOperations(c: MatmulShape, i: number, sides: Sides): string {
  if (c.rows === undefined) return "";
  return `  ${c.m % sides.row ? `if (row + ${i} < ${c.m}) ` : ""}{
    let i = row + ${i};
    ${onRow(c, (sum, j) => `${sum}${i}_${j}`)}
  }`;
}

/** WGSL of what is done with row `i`, of which `element` is WGSL for the sums. */
export function onRow(c: MatmulShape, element: (sum: "s" | "t", j: number) => string): string {
  const name = (prefix: string, sum: "s" | "t") =>
    join(c.n, (j) => `let ${prefix}${j} = ${element(sum, j)};`);
  return `${c.primal ? name("z", "s") : ""}
    ${c.tangent ? name("d_z", "t") : ""}
    ${(c.rows ?? []).map(({ body }) => `{ ${body} }`).join("\n    ")}`;
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
