import { factors, type MatmulShape, terms } from "./product.ts";
import { type RegisterTile, registerGrid } from "./register_tile.ts";
import type { SharedTile } from "./shared_tile.ts";
import { type SubgroupTile, subgroupGrid } from "./subgroup_tile.ts";
import { readWidth } from "./vector_reads.ts";

export type MatmulTile = RegisterTile | SharedTile | SubgroupTile;

/** What the choice goes by. */
export interface MatmulAdapter {
  readonly kind: "hardware" | "lavapipe" | "swiftshader" | "software";
  /** Threads of every subgroup, where shaders can use subgroups of one known size. */
  readonly subgroupSize?: number;
}

/** What an adapter rewards: a vector read's price in multiply-adds, sums that fit a thread, threads in step. */
const adapters = {
  lavapipe: { read: 8, element: 8, sums: 80, unroll: 2, threads: 8 },
  swiftshader: { read: 2, element: 4, sums: 160, unroll: 4, threads: 4 },
} as const;

/** The price of a broadcast in multiply-adds. */
const BROADCAST = 1;

/** Multiply-adds below which a big tile, which takes a software adapter's compiler seconds, never earns them back. */
const WORTH_COMPILING = 2 ** 19;

/**
 * The tile for a shape. Software adapters gather every read thread by thread, so their best tile is the one with the
 * fewest reads for each multiply-add that still keeps two cores busy.
 */
export function chooseMatmulTile(shape: MatmulShape, adapter: MatmulAdapter): MatmulTile {
  if (adapter.kind === "hardware") return hardwareTile(shape);
  const { read, element, sums, unroll, threads } =
    adapters[adapter.kind === "swiftshader" ? adapter.kind : "lavapipe"];
  const outputs = Number(shape.primal) + Number(shape.tangent);
  const most = (shape.m * shape.n * shape.k < WORTH_COMPILING ? 8 : sums) / outputs;
  // A subgroup is a workgroup only where the driver is known to fill it.
  const size = adapter.kind === "software" ? undefined : adapter.subgroupSize;
  const used = factors(shape);

  /** Multiply-adds that a thread might do instead of all that it does for one term of the sum. */
  const price = ({ rows, cols }: Block, shared?: "row" | "col") =>
    used.reduce(
      (sum, f) => {
        const count = f.axis === "row" ? rows : cols;
        if (f.axis === shared) return sum + count * ((element + read) / size! + BROADCAST);
        return sum + count * (element + read / readWidth(shape, f, { count, depth: unroll }));
      },
      terms(shape).length * rows * cols,
    );

  let best: MatmulTile = { memory: "register", rows: 1, cols: 1, threads, unroll };
  let least = Infinity;
  const consider = (tile: RegisterTile | SubgroupTile, [x, y]: [number, number]) => {
    const cost = Math.ceil((x * y) / 2) * price(tile, tile.memory === "subgroup" ? tile.shared : undefined);
    if (cost < least) [best, least] = [tile, cost];
  };
  for (let rows = 1; rows <= Math.min(16, shape.m); rows++) {
    for (let cols = 1; cols <= Math.min(16, shape.n) && rows * cols <= most; cols++) {
      const register: RegisterTile = { memory: "register", rows, cols, threads, unroll };
      consider(register, registerGrid(shape, register));
      if (size === undefined) continue;
      for (const shared of ["row", "col"] as const) {
        const tile: SubgroupTile = { memory: "subgroup", shared, rows, cols, threads: size, unroll };
        consider(tile, subgroupGrid(shape, tile));
      }
    }
  }
  return best;
}

interface Block {
  readonly rows: number;
  readonly cols: number;
}

/** 64×64 outputs for 256 threads, halved along an axis that is shorter, and where too few workgroups would run. */
function hardwareTile({ m, n, tangent, da, db }: MatmulShape): SharedTile {
  let rows = m > 32 ? 4 : m > 16 ? 2 : 1;
  let cols = n > 32 ? 4 : n > 16 ? 2 : 1;
  while (rows * cols > 1 && Math.ceil(m / (16 * rows)) * Math.ceil(n / (16 * cols)) < 64) {
    if (rows >= cols) rows /= 2;
    else cols /= 2;
  }
  // Four tiles of depth 16 would overstep the 16 KiB of shared memory that WebGPU promises.
  const crowded = tangent && da && db;
  return { memory: "shared", rows, cols, rowThreads: 16, colThreads: 16, depth: crowded ? 8 : 16 };
}
