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
  outputWidth,
  read,
  type Sides,
  stores,
  sums,
} from "./product.ts";
import { declareRowSums, startGroup, withRowSums } from "./row_sums.ts";
import { VectorReads } from "./vector_reads.ts";

/**
 * A subgroup keeps `rows × cols` outputs a thread, and all its threads have the same columns (or the same rows). What
 * they share of a factor is read once, a part by each thread, and handed round by broadcasts; of the other factor each
 * thread reads its own. For drivers that read buffers thread by thread, where a broadcast is much cheaper than a read.
 */
export interface SubgroupTile {
  memory: "subgroup";
  rows: number;
  cols: number;
  /** The axis whose block is the same for all threads. */
  shared: "row" | "col";
  /** Threads of a subgroup, which is a workgroup too: every subgroup of the adapter must have as many. */
  threads: number;
  /** Terms of the sum in one turn of the loop. */
  unroll: 1 | 2 | 4;
}

/** Rows and columns of a whole workgroup. */
function sides({ rows, cols, shared, threads }: SubgroupTile): Sides {
  return shared === "col" ? { row: rows * threads, col: cols } : { row: rows, col: cols * threads };
}

function blocks({ m, n }: MatmulShape, tile: SubgroupTile): { rowBlocks: number; colBlocks: number } {
  const { row, col } = sides(tile);
  return { rowBlocks: Math.ceil(m / row), colBlocks: Math.ceil(n / col) };
}

/** Workgroups in x and y. */
export function subgroupGrid(shape: MatmulShape, tile: SubgroupTile): [number, number] {
  const { rowBlocks, colBlocks } = blocks(shape, tile);
  return lineOfGroups(withRowSums(shape, rowBlocks * colBlocks));
}

export function subgroupTile(c: MatmulShape, tile: SubgroupTile): string {
  const { rows, cols, unroll, threads } = tile;
  const { rowBlocks, colBlocks } = blocks(c, tile);
  const side = sides(tile);
  const count = ({ axis }: Factor) => (axis === "row" ? rows : cols);
  const used = factors(c);
  const shared = used.filter(({ axis }) => axis === tile.shared);
  const own = used
    .filter(({ axis }) => axis !== tile.shared)
    .map(
      (f) => new VectorReads(c, f, { count: count(f), depth: unroll, ragged: f.extent % side[f.axis] > 0 }),
    );
  const named = new Map<string, VectorReads>(own.map((reads) => [reads.factor.name, reads]));

  /** Element e of a shared block, term e % length of row or column e / length, is read by thread e % threads. */
  const parts = (f: Factor, length: number) => Math.ceil((count(f) * length) / threads);
  const origins = (length: number) =>
    shared
      .map((f) =>
        lines(parts(f, length), (part) => {
          const e = `min(thread + ${part * threads}, ${count(f) * length - 1})`;
          return `  let ${f.name}From${part} = ${at(f.view)} + min(${f.axis} + ${e} / ${length}, ${f.extent - 1}) * ${f.across} + ${e} % ${length} * ${f.along};`;
        }),
      )
      .join("\n");
  const broadcasts = (f: Factor, length: number, q: number) =>
    lines(count(f), (i) => {
      const e = i * length + q;
      return `  let ${f.name}${i}_${q} = subgroupBroadcast(${f.name}Part${Math.floor(e / threads)}, ${e % threads});`;
    });
  const block = { rows, cols, inner: tile.shared === "col" ? "row" : "col" } as const;
  const turn = (length: number) => `
${shared
  .map((f) =>
    lines(
      parts(f, length),
      (part) => `  let ${f.name}Part${part} = ${read(f, `${f.name}From${part} + p * ${f.along}`)};`,
    ),
  )
  .join("\n")}
${own.map((reads) => reads.reads(length)).join("\n")}
${lines(length, (q) => shared.map((f) => broadcasts(f, length, q)).join("\n"))}
${accumulate(c, { ...block, length, element: (name, i, q) => named.get(name)?.element(i, q) ?? `${name}${i}_${q}` })}`;

  const outWidth = outputWidth(c, cols);
  const rowWidth = tile.shared === "col" ? (own[0]?.width ?? 1) : 1;
  const whole = c.k - (c.k % unroll);

  // Broadcasts need all threads of the subgroup: those over the edge compute along and store nothing.
  return wgsl`enable subgroups;
${bindings(c, ({ name }) => named.get(name)?.width ?? 1, outWidth)}
${declareRowSums(c, { threads, width: rowWidth, together: false })}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) thread: u32) {
  let lane = group.z;
  ${startGroup(c, rowBlocks * colBlocks)}
  let row = order / ${colBlocks} * ${side.row}${tile.shared === "col" ? ` + thread * ${rows}` : ""};
  let col = order % ${colBlocks} * ${side.col}${tile.shared === "row" ? ` + thread * ${cols}` : ""};

${own.map((reads) => reads.start()).join("\n")}
${own[0]?.offsets() ?? ""}
${sums(c, rows, cols, side)}

#if ${used.length > 0 && whole > 0}
  {
    ${origins(unroll)}
    for (var p = 0u; p < ${whole}; p += ${unroll}) {
      ${turn(unroll)}
    }
  }
#endif
#if ${used.length > 0 && c.k > whole}
  {
    let p = ${whole}u;
    ${origins(c.k - whole)}
    ${turn(c.k - whole)}
  }
#endif
${stores(c, rows, cols, outWidth, side)}
}
`;
}
