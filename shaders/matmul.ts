import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import type { View } from "./operand.ts";

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

/** A workgroup of `rowThreads × colThreads`, each with `rows × cols` outputs, shares `depth` terms at a time. */
export interface SharedTile {
  memory: "shared";
  rows: number;
  cols: number;
  rowThreads: number;
  colThreads: number;
  depth: number;
}

export type MatmulTile = RegisterTile | SharedTile;

/** The shape of one product and what is asked of it: enough to choose a tile. */
export interface MatmulShape {
  m: number;
  n: number;
  k: number;
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
  /** Write `out`? */
  primal: boolean;
  /** Write `dout`? */
  tangent: boolean;
}

export interface MatmulConfig extends MatmulShape {
  tile: MatmulTile;
}

/**
 * WGSL, entry point `main`, of `out[m×n] = A[m×k]·B[k×n] + bias[n]` and of its tangent
 * `dout = dA·B + A·dB + dbias`, one lane for each z, in one pass that reads every factor once.
 *
 * `A(i,p) = a[offset + lane·l + i·aRow + p·aCol]`, `B(p,j)` likewise, `out` is row-major.
 * Bindings of group 0, declared only where used: 0 a, 1 da, 2 b, 3 db, 4 bias, 5 dbias, 6 out, 7 dout.
 */
export function matmul(config: MatmulConfig): string {
  if (!config.primal && !config.tangent) {
    throw new Error("matmul has nothing to compute: set `primal`, `tangent` or both.");
  }
  return config.tile.memory === "shared" ? shared(config, config.tile) : register(config, config.tile);
}

/** Workgroups in x and y; the caller adds the lanes as z. */
export function matmulGrid({ m, n, tile }: MatmulConfig): [number, number] {
  const rowBlocks = Math.ceil(m / tile.rows);
  const colBlocks = Math.ceil(n / tile.cols);
  if (tile.memory === "shared") {
    return [Math.ceil(colBlocks / tile.colThreads), Math.ceil(rowBlocks / tile.rowThreads)];
  }
  const groups = Math.ceil((rowBlocks * colBlocks) / tile.threads);
  const y = Math.ceil(groups / maxGroups);
  return [Math.ceil(groups / y), y];
}

/** The least that WebGPU promises for `maxComputeWorkgroupsPerDimension`. */
const maxGroups = 65535;

/** One factor, seen along the rows of A or the columns of B (`across`) and along the sum (`along`). */
interface Factor {
  name: "a" | "da" | "b" | "db";
  binding: number;
  axis: "row" | "col";
  view: View;
  across: number;
  along: number;
  extent: number;
}

function factors(c: MatmulShape): Factor[] {
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
function terms(c: MatmulShape): [sum: "s" | "t", left: string, right: string][] {
  return [
    ...(c.primal ? [["s", "a", "b"] as ["s", string, string]] : []),
    ...(c.tangent && c.da ? [["t", "da", "b"] as ["t", string, string]] : []),
    ...(c.tangent && c.db ? [["t", "a", "db"] as ["t", string, string]] : []),
  ];
}

/** Bindings, with each factor as scalars or as vectors of `width` elements. */
function bindings(c: MatmulShape, width: (factor: Factor) => number, outWidth: number): string {
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

/** Sums start at the bias of their column; then products are added; `row` and `col` are those of the first output. */
function sums(c: MatmulShape, rows: number, cols: number, ragged: boolean): string {
  const start = (sum: string, name: string, view: View | undefined) => wgsl`
#if ${view !== undefined}
${lines(cols, (j) => `  let ${name}${j} = ${name}[${at(view ?? { offset: 0, lane: 0 })} + ${inside("col", j, ragged, c.n - 1)}];`)}
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

function stores(c: MatmulShape, rows: number, cols: number, width: number, ragged: boolean): string {
  const block = (i: number, j: number) => {
    const store = (name: string, sum: string, view: View) => {
      const index = `(${at(view)} + (row + ${i}) * ${c.n} + col + ${j})${over(width)}`;
      return `${name}[${index}] = ${vector(width)}(${join(width, (q) => `${sum}${i}_${j + q}`, ", ")});`;
    };
    const guards = [
      ...(ragged || c.m % rows ? [`row + ${i} < ${c.m}`] : []),
      ...(ragged || c.n % cols ? [`col + ${j} < ${c.n}`] : []),
    ];
    const body = [
      ...(c.primal ? [store("out", "s", c.out)] : []),
      ...(c.tangent ? [store("dout", "t", c.dout)] : []),
    ].join(" ");
    return guards.length ? `  if (${guards.join(" && ")}) { ${body} }` : `  ${body}`;
  };
  return lines(rows, (i) => lines(cols / width, (j) => block(i, j * width)));
}

function register(c: MatmulConfig, tile: RegisterTile): string {
  const { rows, cols, unroll, threads } = tile;
  const used = factors(c);
  const rowBlocks = Math.ceil(c.m / rows);
  const colBlocks = Math.ceil(c.n / cols);
  const [gridX, gridY] = matmulGrid(c);
  const width = (f: Factor) => registerWidth(c, tile, f);
  const count = (f: Factor) => (f.axis === "row" ? rows : cols);

  /** Neighbours that one read brings in: along the sum, or across it. */
  const spans = (f: Factor) =>
    f.along === 1 ? { across: 1, along: width(f) } : { across: width(f), along: 1 };
  const start = (f: Factor, i: number) =>
    `${inside(f.axis, i, f.extent % count(f) > 0, f.extent - spans(f).across)} * ${f.across}`;
  const read = (f: Factor, i: number, q: number) =>
    `  let ${f.name}${i}_${q} = ${f.name}[(${f.name}Start + ${f.axis}${i} + (p + ${q}) * ${f.along})${over(width(f))}];`;
  const element = (name: string, i: number, q: number) => {
    const f = used.find((factor) => factor.name === name)!;
    const { across, along } = spans(f);
    const component = width(f) === 1 ? "" : `.${"xyzw"[(i % across) + (q % along)]}`;
    return `${name}${i - (i % across)}_${q - (q % along)}${component}`;
  };
  const turn = (length: number) => `
${used
  .map((f) => {
    const { across, along } = spans(f);
    return lines(count(f) / across, (i) =>
      lines(Math.ceil(length / along), (q) => read(f, i * across, q * along)),
    );
  })
  .join("\n")}
${lines(length, (q) =>
  lines(
    rows,
    (i) =>
      `  ${join(cols, (j) =>
        terms(c)
          .map(([sum, l, r]) => `${sum}${i}_${j} += ${element(l, i, q)} * ${element(r, j, q)};`)
          .join(" "),
      )}`,
  ),
)}`;

  const outWidth = fit([cols, c.n, ...views(c)]);
  const whole = c.k - (c.k % unroll);
  const axes = (["row", "col"] as const)
    .map((axis) => used.find((f) => f.axis === axis))
    .filter((f) => f !== undefined);

  return wgsl`${bindings(c, width, outWidth)}
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let lane = id.z;
#if ${gridY > 1}
  let block = id.x + id.y * ${gridX * threads};
#else
  let block = id.x;
#endif
  if (block >= ${rowBlocks * colBlocks}) { return; }
  let row = block / ${colBlocks} * ${rows};
  let col = block % ${colBlocks} * ${cols};

${used.map((f) => `  let ${f.name}Start = ${at(f.view)};`).join("\n")}
${axes
  .map((f) =>
    lines(count(f) / spans(f).across, (i) => {
      const first = i * spans(f).across;
      return `  let ${f.axis}${first} = ${start(f, first)};`;
    }),
  )
  .join("\n")}
${sums(c, rows, cols, c.n % cols > 0)}

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
${stores(c, rows, cols, outWidth, false)}
}
`;
}

function shared(c: MatmulConfig, tile: SharedTile): string {
  const { rows, cols, rowThreads, colThreads, depth } = tile;
  const used = factors(c);
  const size = rowThreads * colThreads;
  const side = { row: rows * rowThreads, col: cols * colThreads };
  // One element of padding keeps a strided fill of the tile off a single memory bank.
  const pitch = { row: side.row + 1, col: side.col + 1 };
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
      let there = ${first[f.axis]} + i < ${f.extent} && p + q < ${c.k};
      var value = 0f;
      if (there) { value = ${f.name}[${at(f.view)} + (${first[f.axis]} + i) * ${f.across} + (p + q) * ${f.along}]; }
      ${f.name}Tile[q * ${pitch[f.axis]} + i] = value;
    }`;

  return wgsl`${bindings(c, () => 1, 1)}
${used.map((f) => `var<workgroup> ${f.name}Tile: array<f32, ${pitch[f.axis] * depth}>;`).join("\n")}

@compute @workgroup_size(${colThreads}, ${rowThreads})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = group.z;
  let firstRow = group.y * ${side.row};
  let firstCol = group.x * ${side.col};
  let row = firstRow + local.y * ${rows};
  let col = firstCol + local.x * ${cols};
${sums(c, rows, cols, true)}

#if ${used.length > 0}
  for (var p = 0u; p < ${c.k}; p += ${depth}) {
${used.map(fill).join("")}
    workgroupBarrier();
    for (var q = 0u; q < ${depth}; q++) {
${used
  .map((f) =>
    lines(
      f.axis === "row" ? rows : cols,
      (i) =>
        `      let ${f.name}${i} = ${f.name}Tile[q * ${pitch[f.axis]} + local.${f.axis === "row" ? "y" : "x"} * ${f.axis === "row" ? rows : cols} + ${i}];`,
    ),
  )
  .join("\n")}
${lines(
  rows,
  (i) =>
    `      ${join(cols, (j) =>
      terms(c)
        .map(([sum, l, r]) => `${sum}${i}_${j} += ${l}${i} * ${r}${j};`)
        .join(" "),
    )}`,
)}
    }
    workgroupBarrier();
  }
#endif
${stores(c, rows, cols, 1, true)}
}
`;
}

/** Elements that one read of a factor brings in: 4 or 2 where strides, extents and offsets of its axis allow. */
function registerWidth(c: MatmulShape, tile: RegisterTile, { axis, across, along, extent }: Factor): number {
  const alike = factors(c)
    .filter((f) => f.axis === axis)
    .flatMap((f) => [f.view.offset, f.view.lane]);
  if (along === 1) return fit([tile.unroll, c.k, extent > 1 ? across : 0, ...alike]);
  if (across === 1)
    return fit([axis === "row" ? tile.rows : tile.cols, extent, c.k > 1 ? along : 0, ...alike]);
  return 1;
}

const fit = (lengths: number[]) => [4, 2].find((width) => lengths.every((x) => x % width === 0)) ?? 1;
const views = (c: MatmulShape) =>
  [...(c.primal ? [c.out] : []), ...(c.tangent ? [c.dout] : [])].flatMap((v) => [v.offset, v.lane]);
const vector = (width: number) => (width === 1 ? "f32" : `vec${width}f`);
const over = (width: number) => (width === 1 ? "" : ` / ${width}`);
const at = ({ offset, lane }: View) => (lane === 0 ? `${offset}u` : `${offset} + lane * ${lane}`);

/** The index `row + i` or `col + i`; where a block may hang over the edge, no more than `last`. */
const inside = (axis: string, i: number, ragged: boolean, last: number) =>
  ragged ? `min(${axis} + ${i}, ${last})` : `(${axis} + ${i})`;

const join = (count: number, text: (i: number) => string, separator = " ") =>
  Array.from({ length: count }, (_, i) => text(i)).join(separator);
const lines = (count: number, text: (i: number) => string) => join(count, text, "\n");

/** What an adapter rewards: a vector read's price in multiply-adds, sums that fit a thread, threads in step. */
const adapters = {
  lavapipe: { read: 8, element: 8, sums: 80, unroll: 2, threads: 8 },
  swiftshader: { read: 2, element: 4, sums: 160, unroll: 4, threads: 4 },
} as const;

/** Multiply-adds below which a big tile, which takes a software adapter's compiler seconds, never earns them back. */
const WORTH_COMPILING = 2 ** 19;

/**
 * The tile for a shape. Software adapters gather every read thread by thread, so their best register tile is
 * the one with the fewest reads for each multiply-add that still keeps two cores busy.
 */
export function chooseMatmulTile(
  shape: MatmulShape,
  adapter: "hardware" | "lavapipe" | "swiftshader" | "software",
): MatmulTile {
  if (adapter === "hardware") return hardwareTile(shape);
  const { read, element, sums, unroll, threads } = adapters[adapter === "swiftshader" ? adapter : "lavapipe"];
  const most = shape.m * shape.n * shape.k < WORTH_COMPILING ? 8 : sums;
  const outputs = Number(shape.primal) + Number(shape.tangent);
  let best: RegisterTile = { memory: "register", rows: 1, cols: 1, threads, unroll };
  let least = Infinity;
  for (let rows = 1; rows <= Math.min(16, shape.m); rows++) {
    for (let cols = 1; cols <= Math.min(16, shape.n) && rows * cols * outputs <= most; cols++) {
      const tile: RegisterTile = { memory: "register", rows, cols, threads, unroll };
      const reads = factors(shape)
        .map((f) => (f.axis === "row" ? rows : cols) * (element + read / registerWidth(shape, tile, f)))
        .reduce((sum, cost) => sum + cost, 0);
      const [x, y] = matmulGrid({ ...shape, tile });
      const cost = Math.ceil((x * y) / 2) * (reads + terms(shape).length * rows * cols);
      if (cost < least) [best, least] = [tile, cost];
    }
  }
  return best;
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
