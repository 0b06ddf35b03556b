import { expect, test } from "vitest";
import { type MatmulShape, type MatmulTile, matmul, matmulGrid, matmulParts } from "../../shaders/matmul.ts";
import type { View } from "../../shaders/operand.ts";
import { Block } from "../../src/gpu/block.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { Executable } from "../../src/gpu/executable.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";

/** Error over the sum of the magnitudes of all terms. */
const BUDGET = 1e-6;
const LANES = 2;

let worst = 0;

const gpu = withGpu((adapter) => {
  const size = gpu().choice.subgroupSize;
  const subgroups = size === undefined ? "without subgroups" : `subgroups of ${size}`;
  return `tiles of matrix products and of sums of rows beside them on ${adapter}, ${subgroups}; error ${worst.toExponential(1)} of ${BUDGET}`;
});

/** m, k, n, and where the buffers begin. */
const sizes: readonly [m: number, k: number, n: number, offset: number][] = [
  [1, 1, 1, 0],
  [17, 7, 70, 3],
  [70, 14, 10, 2],
  [24, 8, 40, 4],
  [6, 150, 9, 0],
];

const modes: readonly Pick<MatmulShape, "primal" | "tangent" | "da" | "db">[] = [
  { primal: true, tangent: true, da: view(1, 1), db: view(1, 1) },
  { primal: true, tangent: false },
  { primal: true, tangent: true, db: view(1, 1) },
  { primal: false, tangent: true, da: view(1, 1) },
  { primal: false, tangent: true, db: view(1, 1) },
];

function view(offset: number, lane: number) {
  return { offset, lane };
}

/** Every kind of tile that the adapter can have, in both of its orientations. */
function tiles(threads: number | undefined): MatmulTile[] {
  const everywhere: MatmulTile[] = [
    { memory: "register", rows: 3, cols: 4, threads: 8, unroll: 2 },
    { memory: "shared", rows: 2, cols: 1, rowThreads: 8, colThreads: 4, depth: 4, parts: 1 },
    { memory: "shared", rows: 1, cols: 2, rowThreads: 4, colThreads: 8, depth: 2, parts: 3 },
  ];
  if (threads === undefined) return everywhere;
  return [
    ...everywhere,
    { memory: "subgroup", shared: "col", rows: 2, cols: 5, threads, unroll: 4 },
    { memory: "subgroup", shared: "row", rows: 3, cols: 4, threads, unroll: 2 },
  ];
}

const transpositions = [false, true].flatMap((a) =>
  [false, true].map((b) => [a ? "Aᵀ" : "A", b ? "Bᵀ" : "B"]),
);

test.each(transpositions)("%s · %s by every kind of tile", async (a, b) => {
  for (const [t, tile] of tiles(gpu().choice.subgroupSize).entries()) {
    // Together, for the sake of the compilers.
    const tried = sizes.map(([m, k, n, offset], s) => {
      const lane = (rows: number, cols: number) => view(offset, rows * cols + offset);
      const parts = matmulParts(tile);
      // Sums of the rows of Aᵀ: behind the product in its buffer, or in one of their own.
      const inFirst = t % 2 === 0;
      const out = view(offset, m * parts * n + m + offset);
      const sum = { ...(inFirst ? view(offset + m * parts * n, out.lane) : lane(1, m)), inFirst };
      const hasSums = a === "Aᵀ" && m > 1;
      const { da, db, ...mode } = modes[(t + s) % modes.length]!;
      const shape: MatmulShape = {
        ...{ m, n, k, lanes: LANES, ...mode },
        aRow: a === "A" ? k : 1,
        aCol: a === "A" ? 1 : m,
        bRow: b === "B" ? n : 1,
        bCol: b === "B" ? 1 : k,
        a: lane(m, k),
        b: lane(k, n),
        ...(da && { da: lane(m, k) }),
        ...(db && { db: lane(k, n) }),
        ...(s % 2 === 0 && { bias: lane(1, n), dbias: lane(1, n) }),
        out,
        dout: out,
        ...(hasSums && mode.primal && { sum }),
        ...(hasSums && da && { dsum: sum }),
      };
      return expectProduct(shape, tile);
    });
    await Promise.all(tried);
  }
});

async function expectProduct(shape: MatmulShape, tile: MatmulTile): Promise<void> {
  const { m, n, primal, tangent } = shape;
  const random = new Random(1);
  const names = ["a", "da", "b", "db", "bias", "dbias", "out", "dout", "sum", "dsum"] as const;
  const given = names.map((name) => {
    const { offset, lane } = shape[name] ?? view(0, 1);
    return Float32Array.from({ length: offset + LANES * lane }, () => random.uniform() - 0.5);
  });
  const blocks = given.map((numbers, k) => new Block(names[k]!, "data", numbers.byteLength, numbers));
  const config = { ...shape, tile };
  const sequence = new Sequence("product");
  sequence.add({
    label: "product",
    code: matmul(config),
    bindings: blocks.map((block, binding) => ({
      binding,
      resource: { block },
      access: binding < 6 ? ("read" as const) : ("write" as const),
    })),
    grid: [...matmulGrid(config), LANES],
    flops: 0,
    bytes: 0,
  });
  const executable = await Executable.build(gpu(), [sequence]);
  try {
    const run = async () => {
      executable.run(sequence);
      return Promise.all(
        blocks.slice(6).map(async (block) => new Float32Array(await executable.read(block))),
      );
    };
    const found = await run();
    expect(await run(), "the same bits twice").toEqual(found);
    const [out, dout] = exactly(shape, given);
    const what = JSON.stringify(config);
    if (primal) addParts(found[0]!, shape.out, given[6]!, m * n, matmulParts(tile));
    if (tangent) addParts(found[1]!, shape.dout, given[7]!, m * n, matmulParts(tile));
    expect(out!.size, what).toBe(LANES * m * n);
    const written: Exact[] = [primal ? out! : new Map(), tangent ? dout! : new Map(), new Map(), new Map()];
    for (const [half, place] of [shape.sum, shape.dsum].entries()) {
      const sums = place ? exactSums(shape, given[half]!, place) : [];
      for (const [at, sum] of sums) written[place!.inFirst ? half : 2 + half]!.set(at, sum);
    }
    for (const [b, exact] of written.entries()) expectClose(found[b]!, exact, given[6 + b]!, what);
  } finally {
    executable.destroy();
  }
}

/** Adds the parts of an output up into the first; the places of the others are then as they were `before`. */
function addParts(
  found: Float32Array,
  { offset, lane }: View,
  before: Float32Array,
  count: number,
  parts: number,
): void {
  for (let l = 0; l < LANES; l++) {
    for (let e = count; e < parts * count; e++) {
      const at = offset + l * lane;
      found[at + (e % count)]! += found[at + e]!;
      found[at + e] = before[at + e]!;
    }
  }
}

/** Elements that the kernel writes, by their place in the buffer: value, and the sum of the terms' magnitudes. */
type Exact = Map<number, [value: number, magnitude: number]>;

function exactly(shape: MatmulShape, [a, da, b, db, bias, dbias]: Float32Array[]): [Exact, Exact] {
  const { m, n, k } = shape;
  const products = (pairs: [Float32Array, Float32Array][], start: Float32Array | undefined): Exact => {
    const exact: Exact = new Map();
    for (let lane = 0; lane < LANES; lane++) {
      const at = (name: "a" | "b" | "bias" | "out") => shape[name]!.offset + lane * shape[name]!.lane;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let value = start ? start[at("bias") + j]! : 0;
          let magnitude = Math.abs(value);
          for (const [x, y] of pairs) {
            for (let p = 0; p < k; p++) {
              const left = x[at("a") + i * shape.aRow + p * shape.aCol]!;
              const term = left * y[at("b") + p * shape.bRow + j * shape.bCol]!;
              value += term;
              magnitude += Math.abs(term);
            }
          }
          exact.set(at("out") + i * n + j, [value, magnitude]);
        }
      }
    }
    return exact;
  };
  return [
    products([[a!, b!]], shape.bias && bias),
    products(
      [...(shape.da ? [pair(da!, b!)] : []), ...(shape.db ? [pair(a!, db!)] : [])],
      shape.dbias && dbias,
    ),
  ];
}

/** Of the rows of A. */
function exactSums(shape: MatmulShape, a: Float32Array, place: View): Exact {
  const exact: Exact = new Map();
  for (let lane = 0; lane < LANES; lane++) {
    for (let i = 0; i < shape.m; i++) {
      const row = Array.from(
        { length: shape.k },
        (_, p) => a[shape.a.offset + lane * shape.a.lane + i * shape.aRow + p * shape.aCol]!,
      );
      const sum = (terms: number[]) => terms.reduce((all, term) => all + term, 0);
      exact.set(place.offset + lane * place.lane + i, [sum(row), sum(row.map(Math.abs))]);
    }
  }
  return exact;
}

const pair = (x: Float32Array, y: Float32Array): [Float32Array, Float32Array] => [x, y];

/** What is not among the exact values must be as it was `before`. */
function expectClose(found: Float32Array, exact: Exact, before: Float32Array, what: string): void {
  before.forEach((untouched, index) => {
    const [value, magnitude] = exact.get(index) ?? [untouched, 0];
    const error = Math.abs(found[index]! - value) / (magnitude || 1);
    worst = Math.max(worst, error);
    if (!(error <= (magnitude ? BUDGET : 0))) expect(found[index], `${what}, element ${index}`).toBe(value);
  });
}
