import { type AdapterTraits, magnitude } from "../variants.ts";
import { factors, type MatmulShape, terms } from "./product.ts";
import { type RegisterTile, registerGrid } from "./register_tile.ts";
import { ROW_SUM_BYTES } from "./row_sums.ts";
import { type SharedTile, sharedGroups } from "./shared_tile.ts";
import { type SubgroupTile, subgroupGrid } from "./subgroup_tile.ts";
import { readWidth } from "./vector_reads.ts";

export type MatmulTile = RegisterTile | SharedTile | SubgroupTile;

/**
 * What an adapter rewards: a vector read's price in multiply-adds, threads in step, and sums that fit a thread: where each
 * reads for itself, and, measured, where a subgroup shares rows or columns.
 */
const adapters = {
  lavapipe: { read: 8, element: 8, sums: { own: 80, row: 120, col: 60 }, unroll: 2, threads: 8 },
  swiftshader: { read: 2, element: 4, sums: { own: 160, row: 160, col: 160 }, unroll: 4, threads: 4 },
} as const;

/** The price of a broadcast in multiply-adds. */
const BROADCAST = 1;

/** Multiply-adds below which a big tile, which takes a software adapter's compiler seconds, never earns them back. */
const WORTH_COMPILING = 2 ** 19;

/** Of the sums that should fit a thread, how many times as many a tuner tries. */
const TRIED = 1.5;

/** The class of a product: how its factors lie, which halves it computes, and its magnitudes. */
export function matmulClass(shape: MatmulShape): string {
  const { m, n, k, lanes, aCol, bCol } = shape;
  const layout = `${aCol === 1 ? "A" : "Aᵀ"}·${bCol === 1 ? "B" : "Bᵀ"}`;
  const halves = terms(shape).map(([, left, right]) => `${left}·${right}`);
  return `${layout} ${halves.join("+")} ${[m, k, n].map(magnitude).join("×")}${lanes > 1 ? `, ${magnitude(lanes)} lanes` : ""}`;
}

/** The tile for a shape: the tuned one of its class, or the one that should be the fastest. */
export function chooseMatmulTile(shape: MatmulShape, adapter: AdapterTraits): MatmulTile {
  const tuned = adapter.variants?.matmul(shape);
  if (tuned !== undefined) return tuned;
  if (adapter.kind === "hardware") return hardwareTile(shape);
  let best: MatmulTile | undefined;
  let least = Infinity;
  for (const { tile, cost } of pricedTiles(shape, adapter)) if (cost < least) [best, least] = [tile, cost];
  return best!;
}

/** Tiles for a tuner to try: first the one that is taken without it. */
export function matmulCandidates(shape: MatmulShape, adapter: AdapterTraits, most: number): MatmulTile[] {
  if (adapter.kind === "hardware") return [hardwareTile(shape), ...sharedTiles(shape)];
  const priced = [...pricedTiles(shape, adapter, TRIED)].sort((a, b) => a.cost - b.cost).slice(0, most);
  const unrolled = priced
    .slice(0, most / 2)
    .flatMap(({ tile }) => ([1, 2, 4] as const).map((unroll) => ({ ...tile, unroll })));
  const untuned = chooseMatmulTile(shape, { ...adapter, variants: undefined });
  return [untuned, ...priced.map(({ tile }) => tile), ...unrolled];
}

/**
 * Software adapters gather every read thread by thread, so their best tile is the one with the fewest reads for each
 * multiply-add that still keeps two cores busy.
 */
function* pricedTiles(
  shape: MatmulShape,
  adapter: AdapterTraits,
  tried = 1,
): Generator<{ tile: RegisterTile | SubgroupTile; cost: number }> {
  const { read, element, sums, unroll, threads } =
    adapters[adapter.kind === "swiftshader" ? adapter.kind : "lavapipe"];
  const outputs = Number(shape.primal) + Number(shape.tangent);
  const isSmall = shape.m * shape.n * shape.k * shape.lanes < WORTH_COMPILING;
  const most = (shared: keyof typeof sums) => (isSmall ? 8 : tried * sums[shared]) / outputs;
  const fits = (count: number, shared: keyof typeof sums) => count <= Math.max(1, most(shared));
  const largest = Math.max(...(["own", "row", "col"] as const).map(most));
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
  const priced = (tile: RegisterTile | SubgroupTile, [x, y]: [number, number]) => ({
    tile,
    cost:
      Math.ceil((x * y * shape.lanes) / 2) *
      price(tile, tile.memory === "subgroup" ? tile.shared : undefined),
  });
  for (let rows = 1; rows <= Math.min(16, shape.m); rows++) {
    for (let cols = 1; cols <= Math.min(16, shape.n) && rows * cols <= Math.max(1, largest); cols++) {
      const register: RegisterTile = { memory: "register", rows, cols, threads, unroll };
      if (fits(rows * cols, "own")) yield priced(register, registerGrid(shape, register));
      if (size === undefined) continue;
      for (const shared of ["row", "col"] as const) {
        if (!fits(rows * cols, shared)) continue;
        const tile: SubgroupTile = { memory: "subgroup", shared, rows, cols, threads: size, unroll };
        yield priced(tile, subgroupGrid(shape, tile));
      }
    }
  }
}

interface Block {
  readonly rows: number;
  readonly cols: number;
}

/** Workgroups that a GPU is to have at least, and terms that make a part of a sum worth one. */
const WANTED = 128;
const LEAST_TERMS = 128;

const groupsOf = (shape: MatmulShape, tile: SharedTile) =>
  sharedGroups(shape, { ...tile, parts: 1 }).count * shape.lanes;

/** 64×64 outputs for 256 threads, fewer along an axis that is shorter; sums in parts where workgroups are too few. */
function hardwareTile(shape: MatmulShape): SharedTile {
  const own = (extent: number) => (extent > 32 ? 4 : extent > 16 ? 2 : 1);
  const tile = { rows: own(shape.m), cols: own(shape.n), rowThreads: 16, colThreads: 16 };
  const whole: SharedTile = { memory: "shared", ...tile, depth: deepest(shape, tile), parts: 1 };
  whole.parts = mostParts(shape, whole);
  while (whole.rows * whole.cols > 1 && groupsOf(shape, whole) * whole.parts < WANTED / 2) {
    if (whole.rows >= whole.cols) whole.rows /= 2;
    else whole.cols /= 2;
  }
  return whole;
}

const mostParts = (shape: MatmulShape, tile: SharedTile) =>
  Math.max(1, Math.min(Math.floor(WANTED / groupsOf(shape, tile)), Math.floor(shape.k / LEAST_TERMS)));

/** Terms at a time of which all factors' tiles fit the 16 KiB of shared memory that WebGPU promises, beside sums of rows. */
function deepest(shape: MatmulShape, tile: Omit<SharedTile, "memory" | "depth" | "parts">): number {
  const row = tile.rows * tile.rowThreads + 1;
  const col = tile.cols * tile.colThreads + 1;
  const term = factors(shape).reduce((sum, { axis }) => sum + (axis === "row" ? row : col), 0);
  return [16, 8, 4].find((depth) => 4 * term * depth <= 16384 - ROW_SUM_BYTES) ?? 2;
}

/** Blocks of 1 to 8 outputs a side for 64 or 256 threads, whole and in parts. */
function sharedTiles(shape: MatmulShape): SharedTile[] {
  const sides = [1, 2, 4, 8];
  return [8, 16].flatMap((threads) =>
    sides
      .filter((rows) => rows === 1 || rows * threads < 2 * shape.m)
      .flatMap((rows) =>
        sides
          .filter((cols) => cols === 1 || cols * threads < 2 * shape.n)
          .flatMap((cols) => {
            const tile = { rows, cols, rowThreads: threads, colThreads: threads };
            const whole: SharedTile = { memory: "shared", ...tile, depth: deepest(shape, tile), parts: 1 };
            const parts = mostParts(shape, whole);
            return parts > 1 ? [whole, { ...whole, parts }] : [whole];
          }),
      ),
  );
}
