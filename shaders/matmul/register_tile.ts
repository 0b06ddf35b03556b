import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { lineOfGroups } from "../operand.ts";
import { accumulate, bindings, factors, type MatmulShape, outputWidth, stores, sums } from "./product.ts";
import { declareRowSums, startGroup, withRowSums } from "./row_sums.ts";
import { VectorReads } from "./vector_reads.ts";

/** Every thread keeps `rows × cols` outputs in registers and reads its factors straight from their buffers. */
export interface RegisterTile {
  memory: "register";
  rows: number;
  cols: number;
  /** Workgroup size; neighbouring threads take neighbouring columns. */
  threads: number;
  /** Terms of the sum in one turn of the loop; where strides allow they are read as one vector. */
  unroll: 1 | 2 | 4;
}

const groupsOf = ({ m, n }: MatmulShape, { rows, cols, threads }: RegisterTile): number =>
  Math.ceil((Math.ceil(m / rows) * Math.ceil(n / cols)) / threads);

/** Workgroups in x and y. */
export function registerGrid(shape: MatmulShape, tile: RegisterTile): [number, number] {
  return lineOfGroups(withRowSums(shape, groupsOf(shape, tile)));
}

export function registerTile(c: MatmulShape, tile: RegisterTile): string {
  const { rows, cols, unroll, threads } = tile;
  const rowBlocks = Math.ceil(c.m / rows);
  const colBlocks = Math.ceil(c.n / cols);
  const used = factors(c).map((factor) => {
    const count = factor.axis === "row" ? rows : cols;
    return new VectorReads(c, factor, { count, depth: unroll, ragged: factor.extent % count > 0 });
  });
  const axes = ["row", "col"].map((axis) => used.find(({ factor }) => factor.axis === axis));
  const named = new Map<string, VectorReads>(used.map((reads) => [reads.factor.name, reads]));
  const turn = (length: number) => `
${used.map((reads) => reads.reads(length)).join("\n")}
${accumulate(c, { rows, cols, length, inner: "col", element: (name, i, q) => named.get(name)!.element(i, q) })}`;

  const sides = { row: rows, col: cols };
  const outWidth = outputWidth(c, cols);
  const whole = c.k - (c.k % unroll);

  return wgsl`${bindings(c, ({ name }) => named.get(name)!.width, outWidth)}
${declareRowSums(c, { threads, width: axes[0]?.width ?? 1, together: false })}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = group.z;
  ${startGroup(c, groupsOf(c, tile))}
  let block = order * ${threads} + thread;
  if (block >= ${rowBlocks * colBlocks}) { return; }
  let row = block / ${colBlocks} * ${rows};
  let col = block % ${colBlocks} * ${cols};

${used.map((reads) => reads.start()).join("\n")}
${axes.map((reads) => reads?.offsets()).join("\n")}
${sums(c, rows, cols, sides)}

#if ${used.length > 0 && whole > 0}
  for (var p = 0u; p < ${whole}; p += ${unroll}) {
    ${turn(unroll)}
  }
#endif
#if ${used.length > 0 && c.k > whole}
  {
    let p = ${whole}u;
    ${turn(c.k - whole)}
  }
#endif
${stores(c, rows, cols, outWidth, sides)}
}
`;
}
