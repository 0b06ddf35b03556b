import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { declareStored, type Output, storedWidth, storeOutput } from "../epilogue.ts";
import { at, dualInput, input, linearGrid, linearMain, type Operand, output } from "../operand.ts";
import { range } from "../range.ts";
import { component, fit, inVectors, packed, vector, type Width } from "../width.ts";
import type { Kernel, Pool } from "./windows.ts";

/** Do windows tile the plane, so that an element is in one at most? */
export const isTiled = ({ size, stride, padding }: Pool) => stride === size && padding === 0;

/** Do they, and are they small enough for their elements to be written out one after another? */
export const isWrittenOut = (pool: Pool) => isTiled(pool) && pool.size <= 4;

/** Do they leave nothing over? */
export const isWhole = ({ size, h, w, oh, ow }: Pool) => oh * size === h && ow * size === w;

type Half = "primal" | "tangent";

/**
 * Windows that tile x, so many neighbours in a row of them by one thread that they are a vector in y, the `i`-th: their
 * elements come in whole rows, and so in vectors too. In x they begin at `corner` (WGSL) of `plane`.
 */
class Tiles {
  readonly #pool: Pool;
  readonly #x: Operand;
  /** Windows of a thread. */
  readonly count: Width;
  /** Neighbours that are a vector in x. */
  readonly wide: Width;

  constructor(pool: Pool, x: Output, ys: readonly (Output | undefined)[]) {
    this.#pool = pool;
    this.#x = x;
    this.count = fit([pool.ow, ...ys.map((y) => (y ? storedWidth(y, []) : 4))]);
    this.wide = storedWidth(x, [pool.w, this.count * pool.size]);
  }

  head(): string {
    const { h, w, oh, ow, size } = this.#pool;
    const across = ow / this.count;
    return `${linearMain(gridOf(this.#pool, this.count).elements)}
  let corner = i / ${across}u % ${oh}u * ${size * w}u + i % ${across}u * ${this.count * size}u;
  let plane = i / ${across * oh}u * ${h * w}u;`;
  }

  /** Vectors of x in the windows, row by row: what they are called, and WGSL for their numbers in the current lane. */
  vectors(half: Half): { name: string; place: string }[] {
    const { w, size } = this.#pool;
    return range(size).flatMap((row) =>
      range((this.count * size) / this.wide).map((turn) => ({
        name: `${half}${row}_${turn}`,
        place: `(plane + corner) / ${this.wide}u + ${(row * w) / this.wide + turn}u`,
      })),
    );
  }

  /** WGSL that reads them. */
  read(half: Half): string {
    const view = this.#x[half];
    if (view === undefined) return "";
    const buffer = half === "primal" ? "xs" : "d_xs";
    return this.vectors(half)
      .map(({ name, place }) => `let ${name} = ${buffer}[${at(inVectors(view, this.wide), place)}];`)
      .join(" ");
  }

  /** Element `e`, row by row, of window `q`, as it was read. */
  element(half: Half, q: number, e: number): string {
    const column = q * this.#pool.size + (e % this.#pool.size);
    const name = `${half}${Math.floor(e / this.#pool.size)}_${Math.floor(column / this.wide)}`;
    return component(name, this.wide, column);
  }

  /** WGSL for where in its plane that stands. */
  place(q: number, e: number): string {
    const { w, size } = this.#pool;
    return `corner + ${Math.floor(e / size) * w + q * size + (e % size)}u`;
  }
}

const gridOf = ({ planes, oh, ow }: Pool, count: Width) => linearGrid((planes * oh * ow) / count);

/** index = where in its plane the largest element of each window is. */
export function tiledIndex(pool: Pool, x: Operand, index: Operand): Kernel {
  const tiles = new Tiles(pool, x, [index]);
  const { count } = tiles;
  const search = (q: number) => {
    const [first, ...others] = range(pool.size ** 2);
    return `var best${q} = ${tiles.place(q, first!)};
  var largest${q} = ${tiles.element("primal", q, first!)};
  ${others
    .map((e) => {
      const more = `${tiles.element("primal", q, e)} > largest${q}`;
      return `best${q} = select(best${q}, ${tiles.place(q, e)}, ${more});
  largest${q} = select(largest${q}, ${tiles.element("primal", q, e)}, ${more});`;
    })
    .join("\n  ")}`;
  };
  const chosen = range(count).map((q) => `i32(best${q})`);
  return {
    code: wgsl`
${input(0, "xs", x.primal, vector(tiles.wide))}
${output(2, "indices", index.primal, vector(count, "i32"))}
${tiles.head()}
  ${tiles.read("primal")}
  ${range(count).map(search).join("\n  ")}
  indices[${at(index.primal && inVectors(index.primal, count), "i")}] = ${packed(chosen, "i32")};
}`,
    grid: gridOf(pool, count),
  };
}

/** y = the sum of each window. */
export function tiledSum(pool: Pool, x: Operand, y: Output): Kernel {
  const tiles = new Tiles(pool, x, [y]);
  const sums = (half: Half) =>
    range(tiles.count).map((q) =>
      range(pool.size ** 2)
        .map((e) => tiles.element(half, q, e))
        .join(" + "),
    );
  return {
    code: wgsl`
${dualInput(0, "xs", x, vector(tiles.wide))}
${declareStored(1, "ys", y, tiles.count)}
${tiles.head()}
  ${tiles.read("primal")}
  ${tiles.read("tangent")}
  ${storeOutput("ys", y, "i", { primal: sums("primal"), tangent: sums("tangent") })}
}`,
    grid: gridOf(pool, tiles.count),
  };
}

/** x = the sum of y over the windows that hold the element, or chose it; of windows that leave nothing over. */
export function tiledScatter(pool: Pool, y: Operand, index: Operand | undefined, x: Output): Kernel {
  const tiles = new Tiles(pool, x, [y, index]);
  const { count, wide } = tiles;
  const row = count * pool.size;
  /** What vector `k` of the windows holds. */
  const elements = (value: string, k: number) =>
    range(wide).map((e) => {
      const column = ((k * wide) % row) + e;
      const q = Math.floor(column / pool.size);
      const own = component(value, count, q);
      if (index === undefined) return own;
      const place = tiles.place(q, Math.floor((k * wide) / row) * pool.size + (column % pool.size));
      return `select(0.0, ${own}, u32(${component("chosen", count, q)}) == ${place})`;
    });
  const stores = tiles.vectors("primal").map(({ place }, k) => {
    const values = { primal: elements("value", k), tangent: elements("d_value", k) };
    return storeOutput("xs", x, place, values);
  });
  const own = (view: Operand["primal"]) => at(view && inVectors(view, count), "i");
  return {
    code: wgsl`
${dualInput(0, "ys", y, vector(count))}
${index ? input(2, "indices", index.primal, vector(count, "i32")) : ""}
${declareStored(index ? 2 : 1, "xs", x, wide)}
${tiles.head()}
  ${index ? `let chosen = indices[${own(index.primal)}];` : ""}
  ${x.primal ? `let value = ys[${own(y.primal)}];` : ""}
  ${x.tangent ? `let d_value = d_ys[${own(y.tangent)}];` : ""}
  ${stores.join("\n  ")}
}`,
    grid: gridOf(pool, count),
  };
}
