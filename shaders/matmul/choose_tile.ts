import type { View } from "../operand.ts";
import { type AdapterTraits, magnitude } from "../variants.ts";
import { factors, type MatmulShape, terms } from "./product.ts";
import { type RegisterTile, registerGrid } from "./register_tile.ts";
import { ROW_SUM_BYTES } from "./row_sums.ts";
import { type SharedTile, sharedBytes, sharedGroups } from "./shared_tile.ts";
import { type SubgroupTile, subgroupGrid } from "./subgroup_tile.ts";
import { readWidth } from "./vector_reads.ts";

export type MatmulTile = RegisterTile | SharedTile | SubgroupTile;

/**
 * What an adapter rewards: a vector read's price in multiply-adds, threads in step, sums that fit a thread, where each
 * reads for itself or a subgroup shares, and terms in a turn of the loop. A turn beyond what the processor's cache of
 * decoded instructions takes is slow: `turn` is its length, in multiply-adds.
 */
const adapters = {
  lavapipe: { read: 8, element: 8, sums: { own: 80, shared: 160 }, unrolls: [2, 4], turn: 630, threads: 8 },
  swiftshader: {
    read: 2,
    element: 4,
    sums: { own: 160, shared: 160 },
    unrolls: [4],
    turn: Infinity,
    threads: 4,
  },
} as const;

/** The length of a vector read's code in multiply-adds: along the sum, across it, and of a word of bytes. */
const READ_LENGTH = { along: 24, across: 40, word: 16 };

/** The price in multiply-adds of an element's way out of a word. */
const UNPACK = 1;

/** Bytes become floats where they are used, and leave registers to so many times as many sums, and a turn as much longer. */
const ROOM_OF_BYTES = 1.4;

/** The prices in multiply-adds of a broadcast, and of a sum's way from memory and back, once a turn of the loop. */
const BROADCAST = 1;
const SUM = 0.5;

/** Multiply-adds below which a big tile, which takes a software adapter's compiler seconds, never earns them back. */
const WORTH_COMPILING = 2 ** 19;

/** Of the sums that should fit a thread, how many times as many a tuner tries. */
const TRIED = 1.5;

/** The class of a product: how its factors lie, which of them are bytes (₈), which halves it computes, and its magnitudes. */
export function matmulClass(shape: MatmulShape): string {
  const { m, n, k, lanes, aCol, bCol, a, b } = shape;
  const kept = (view: View) => (view.isUnorm8 ? "₈" : "");
  const layout = `A${kept(a)}${aCol === 1 ? "" : "ᵀ"}·B${kept(b)}${bCol === 1 ? "" : "ᵀ"}`;
  const halves = terms(shape).map(([, left, right]) => `${left}·${right}`);
  return `${layout} ${halves.join("+")} ${[m, k, n].map(magnitude).join("×")}${lanes > 1 ? `, ${magnitude(lanes)} lanes` : ""}`;
}

/** Shared memory that WebGPU promises a workgroup. */
const SHARED_BYTES = 16384;

/** The longest row that a thread holds. */
const LONGEST_ROW = 16;

/** Does a thread hold whole rows of the product, or can a workgroup that has them in shared memory give it some? */
export function holdsRows(shape: MatmulShape, tile: MatmulTile): boolean {
  const { n } = shape;
  if (n > LONGEST_ROW) return false;
  if (tile.memory !== "shared")
    return tile.cols >= n && (tile.memory === "register" || tile.shared === "col");
  const bytes = sharedBytes(shape, tile);
  return tile.parts === 1 && tile.cols * tile.colThreads >= n && bytes.factors + bytes.rows <= SHARED_BYTES;
}

/** The tile for a shape: the tuned one of its class, or the one that should be the fastest, of those that may do. */
export function chooseMatmulTile(shape: MatmulShape, adapter: AdapterTraits): MatmulTile {
  const mayDo = (tile: MatmulTile) => shape.rows === undefined || holdsRows(shape, tile);
  const tuned = adapter.variants?.matmul(shape);
  if (tuned !== undefined && mayDo(tuned)) return tuned;
  if (adapter.kind === "hardware") {
    const tile = hardwareTile(shape);
    if (mayDo(tile)) return tile;
  }
  // Where factors stand so that nothing is read in vectors, a turn may be too long for every tile that may do.
  let best: MatmulTile = { memory: "register", rows: 1, cols: shape.n, threads: 64, unroll: 1 };
  let least = Infinity;
  for (const { tile, cost } of pricedTiles(shape, adapter)) {
    if (cost < least && mayDo(tile)) [best, least] = [tile, cost];
  }
  return best;
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
  const { read, element, sums, unrolls, turn, threads } =
    adapters[adapter.kind === "swiftshader" ? adapter.kind : "lavapipe"];
  const outputs = Number(shape.primal) + Number(shape.tangent);
  const isSmall = shape.m * shape.n * shape.k * shape.lanes < WORTH_COMPILING;
  const used = factors(shape);
  const room = tried * (used.some(({ view }) => view.isUnorm8) ? ROOM_OF_BYTES : 1);
  const most = (by: keyof typeof sums) => Math.max(1, (isSmall ? 8 : room * sums[by]) / outputs);
  // A subgroup is a workgroup only where the driver is known to fill it.
  const size = adapter.kind === "software" ? undefined : adapter.subgroupSize;
  const products = terms(shape).length;

  /** Of what a thread does for one term of the sum, as multiply-adds: the time, and the length of the code. */
  const price = ({ rows, cols, unroll }: Block, shared?: "row" | "col") => {
    let length = products * rows * cols;
    let time = length + (outputs * rows * cols * SUM) / unroll;
    for (const f of used) {
      const count = f.axis === "row" ? rows : cols;
      if (f.axis === shared) time += count * ((element + read) / size! + BROADCAST);
      else {
        const width = readWidth(shape, f, { count, depth: unroll });
        const { isUnorm8 } = f.view;
        time += count * (isUnorm8 ? (element + read) / width + UNPACK : element + read / width);
        length += (count / width) * READ_LENGTH[isUnorm8 ? "word" : f.along === 1 ? "along" : "across"];
      }
    }
    return { time, length };
  };
  const priced = (tile: RegisterTile | SubgroupTile, [x, y]: [number, number]) => {
    const { time, length } = price(tile, tile.memory === "subgroup" ? tile.shared : undefined);
    const isLong = length * tile.unroll > room * turn;
    return isLong ? [] : [{ tile, cost: Math.ceil((x * y * shape.lanes) / 2) * time }];
  };
  for (let rows = 1; rows <= Math.min(16, shape.m); rows++) {
    for (let cols = 1; cols <= Math.min(16, shape.n) && rows * cols <= most("shared"); cols++) {
      for (const unroll of unrolls) {
        const register: RegisterTile = { memory: "register", rows, cols, threads, unroll };
        if (rows * cols <= most("own")) yield* priced(register, registerGrid(shape, register));
        if (size === undefined) continue;
        for (const shared of ["row", "col"] as const) {
          const tile: SubgroupTile = { memory: "subgroup", shared, rows, cols, threads: size, unroll };
          yield* priced(tile, subgroupGrid(shape, tile));
        }
      }
    }
  }
}

interface Block {
  readonly rows: number;
  readonly cols: number;
  readonly unroll: number;
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

/** Terms at a time of which all factors' tiles fit the shared memory, beside rows where they may be held, and sums of rows. */
function deepest(shape: MatmulShape, tile: Omit<SharedTile, "memory" | "depth" | "parts">): number {
  const fits = (depth: number) => {
    const bytes = sharedBytes(shape, { ...tile, memory: "shared", depth, parts: 1 });
    return bytes.factors + (shape.n > LONGEST_ROW ? 0 : bytes.rows) <= SHARED_BYTES - ROW_SUM_BYTES;
  };
  return [16, 8, 4].find(fits) ?? 2;
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
