import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { lineOfGroups } from "../operand.ts";
import {
  accumulate,
  at,
  bindings,
  type Factor,
  factors,
  lines,
  type MatmulShape,
  onRow,
  read,
  stores,
  sums,
} from "./product.ts";
import { declareRowSums, startGroup, withRowSums } from "./row_sums.ts";

/**
 * A workgroup of `rowThreads × colThreads`, each with `rows × cols` outputs, shares `depth` terms at a time. The outputs
 * of a thread lie as far apart as there are threads, so that neighbouring threads read neighbouring elements, of
 * different memory banks, and write neighbouring ones. Where the outputs alone are too few workgroups the sums are cut into parts [parts×m×n], for another kernel to add up.
 */
export interface SharedTile {
  memory: "shared";
  rows: number;
  cols: number;
  rowThreads: number;
  colThreads: number;
  depth: number;
  parts: number;
}

export function sharedTile(c: MatmulShape, tile: SharedTile): string {
  const { rows, cols, rowThreads, colThreads, depth, parts } = tile;
  const length = Math.ceil(c.k / parts / depth) * depth;
  const { colBlocks, count } = sharedGroups(c, tile);
  const used = factors(c);
  const size = rowThreads * colThreads;
  const step = { row: rowThreads, col: colThreads };
  const outputs = outputsOf(tile);
  const side = { ...outputs, step };
  const pitch = pitchOf(outputs);
  const first = { row: "firstRow", col: "firstCol" };

  /** Neighbouring threads read neighbouring elements of the buffer, whichever way the factor lies. */
  const fill = (f: Factor) => wgsl`
    for (var e = thread; e < ${side[f.axis] * depth}; e += ${size}) {
#if ${f.along === 1}
      let i = e / ${depth};
      let q = e % ${depth};
#else
      let i = e % ${side[f.axis]};
      let q = e / ${side[f.axis]};
#endif
      let there = ${first[f.axis]} + i < ${f.extent} && p + q < last;
      var value = 0f;
      if (there) { value = ${read(f, `${at(f.view)} + (${first[f.axis]} + i) * ${f.across} + (p + q) * ${f.along}`)}; }
      ${f.name}Tile[q * ${pitch[f.axis]} + i] = value;
    }`;

  return wgsl`${bindings(c, () => 1, 1)}
${declareRowSums(c, { threads: size, width: 1, together: true })}
${used.map((f) => `var<workgroup> ${f.name}Tile: array<f32, ${pitch[f.axis] * depth}>;`).join("\n")}
${(c.rows ? sumsOf(c) : []).map((sum) => `var<workgroup> ${sum}Rows: array<f32, ${side.row * rowPitch(c)}>;`).join("\n")}

@compute @workgroup_size(${colThreads}, ${rowThreads})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = group.z;
  ${startGroup(c, count)}
  let firstCol = order % ${colBlocks} * ${side.col};
#if ${parts > 1}
  let part = order / ${colBlocks} % ${parts};
#else
  let part = 0u;
#endif
  let firstRow = order / ${colBlocks * parts} * ${side.row};
  let last = min((part + 1) * ${length}, ${c.k});
  let row = firstRow + local.y;
  let col = firstCol + local.x;
${sums(c, rows, cols, side, parts)}

#if ${used.length > 0}
  for (var p = part * ${length}; p < last; p += ${depth}) {
${used.map(fill).join("")}
    workgroupBarrier();
    for (var q = 0u; q < ${depth}; q++) {
${used
  .map((f) =>
    lines(
      f.axis === "row" ? rows : cols,
      (i) =>
        `      let ${f.name}${i} = ${f.name}Tile[q * ${pitch[f.axis]} + local.${f.axis === "row" ? "y" : "x"} + ${i * step[f.axis]}];`,
    ),
  )
  .join("\n")}
${accumulate(c, { rows, cols, length: 1, inner: "col", element: (name, i) => `${name}${i}` })}
    }
    workgroupBarrier();
  }
#endif
${stores({ ...c, rows: undefined }, rows, cols, 1, side, parts)}
${c.rows === undefined ? "" : onRows(c, tile)}
}
`;
}

/** Rows and columns of a workgroup's outputs. */
const outputsOf = ({ rows, cols, rowThreads, colThreads }: SharedTile) => ({
  row: rows * rowThreads,
  col: cols * colThreads,
});

/** Elements of a factor from one term to the next: one of padding keeps a strided fill off a single memory bank. */
const pitchOf = ({ row, col }: ReturnType<typeof outputsOf>) => ({ row: row + 1, col: col + 1 });

/** Elements from one row to the next in shared memory: odd, so that neighbouring rows begin in different banks. */
const rowPitch = ({ n }: Pick<MatmulShape, "n">) => n | 1;

const sumsOf = ({ primal, tangent }: Pick<MatmulShape, "primal" | "tangent">) =>
  [primal && ("s" as const), tangent && ("t" as const)].filter((sum) => sum !== false);

/** Bytes of shared memory for the factors, and for the rows of which something is done. */
export function sharedBytes(
  c: MatmulShape,
  tile: SharedTile,
): { readonly factors: number; readonly rows: number } {
  const outputs = outputsOf(tile);
  const pitch = pitchOf(outputs);
  const term = factors(c).reduce((sum, { axis }) => sum + pitch[axis], 0);
  return { factors: 4 * term * tile.depth, rows: 4 * sumsOf(c).length * outputs.row * rowPitch(c) };
}

/** WGSL that gathers whole rows, and does what is done with each, a thread for a row. */
function onRows(c: MatmulShape, { rows, cols, rowThreads, colThreads }: SharedTile): string {
  const pitch = rowPitch(c);
  const gather = (i: number, j: number) => {
    const place = `(local.y + ${i * rowThreads}) * ${pitch} + col + ${j * colThreads}`;
    return `if (col + ${j * colThreads} < ${c.n}) { ${sumsOf(c)
      .map((sum) => `${sum}Rows[${place}] = ${sum}${i}_${j};`)
      .join(" ")} }`;
  };
  return `${lines(rows, (i) => lines(cols, (j) => gather(i, j)))}
  workgroupBarrier();
  for (var own = thread; own < min(${rows * rowThreads}u, ${c.m}u - firstRow); own += ${rowThreads * colThreads}) {
    let i = firstRow + own;
    ${onRow(c, (sum, j) => `${sum}Rows[own * ${pitch} + ${j}]`)}
  }`;
}

/** Workgroups of a lane. */
export function sharedGroups(
  { m, n }: Pick<MatmulShape, "m" | "n">,
  { rows, cols, rowThreads, colThreads, parts }: SharedTile,
): { colBlocks: number; count: number } {
  const colBlocks = Math.ceil(n / (cols * colThreads));
  return { colBlocks, count: colBlocks * parts * Math.ceil(m / (rows * rowThreads)) };
}

/** They in x and y. */
export function sharedGrid(c: MatmulShape, tile: SharedTile): [number, number] {
  return lineOfGroups(withRowSums(c, sharedGroups(c, tile).count));
}
