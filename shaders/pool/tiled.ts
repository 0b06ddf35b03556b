import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import {
  at,
  dualInput,
  dualOutput,
  input,
  linearGrid,
  linearMain,
  type Operand,
  output,
} from "../operand.ts";
import { range } from "../range.ts";
import { component, fit, inVectors, packed, placed, vector, type Width } from "../width.ts";
import type { Kernel, Pool } from "./windows.ts";

/** Do windows tile the plane, so that an element is in one at most? */
export const isTiled = ({ size, stride, padding }: Pool) => stride === size && padding === 0;

/** Do they, and leave nothing over? */
export const isWholly = (pool: Pool) =>
  isTiled(pool) && pool.oh * pool.size === pool.h && pool.ow * pool.size === pool.w;

type Half = "primal" | "tangent";

/** The largest side of a window whose elements are written out one after another. */
export const WRITTEN_OUT = 4;

/**
 * Windows that tile x, several neighbours in a row of them by one thread: their elements come in whole rows, and so in
 * vectors. In x and in y they begin at `corner` of `plane` and at vector `i`.
 */
class Tiles {
  readonly #pool: Pool;
  readonly #x: Operand;
  /** Windows of a thread, a vector in y; and neighbours that are a vector in x. */
  readonly count: Width;
  readonly wide: Width;

  constructor(pool: Pool, x: Operand, inX: boolean, ...ys: readonly (Operand | undefined)[]) {
    this.#pool = pool;
    this.#x = x;
    this.count = fit([pool.ow, ...ys.flatMap((y) => placed(y?.primal, y?.tangent))]);
    this.wide = inX ? fit([pool.w, this.count * pool.size, ...placed(x.primal, x.tangent)]) : 1;
  }

  get grid() {
    const { planes, oh, ow } = this.#pool;
    return linearGrid((planes * oh * ow) / this.count);
  }

  head(): string {
    const { h, w, oh, ow, size } = this.#pool;
    const across = ow / this.count;
    return `${linearMain(this.grid.elements)}
  let corner = i / ${across}u % ${oh}u * ${size * w}u + i % ${across}u * ${this.count * size}u;
  let plane = i / ${across * oh}u * ${h * w}u;`;
  }

  /** Vectors of x in the windows, row by row: their names, and WGSL for where they stand. */
  vectors(half: Half): { name: string; index: string }[] {
    const { w, size } = this.#pool;
    const view = this.#x[half];
    return range(size).flatMap((row) =>
      range((this.count * size) / this.wide).map((turn) => {
        const place = `(plane + corner) / ${this.wide}u + ${(row * w) / this.wide + turn}u`;
        return { name: `${half}${row}_${turn}`, index: view ? at(inVectors(view, this.wide), place) : "" };
      }),
    );
  }

  /** What was read as element `e`, row by row, of window `q`. */
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

const read = (tiles: Tiles, half: Half, buffer: string) =>
  tiles
    .vectors(half)
    .map(({ name, index }) => `let ${name} = ${buffer}[${index}];`)
    .join(" ");

export function tiledIndex(pool: Pool, x: Operand, index: Operand): Kernel {
  const tiles = new Tiles(pool, x, true, index);
  const { count } = tiles;
  const best = range(count).map(
    (q) => `var best${q} = ${tiles.place(q, 0)};
  var largest${q} = ${tiles.element("primal", q, 0)};
  ${range(pool.size ** 2)
    .slice(1)
    .map((e) => {
      const value = tiles.element("primal", q, e);
      return `best${q} = select(best${q}, ${tiles.place(q, e)}, ${value} > largest${q});
  largest${q} = select(largest${q}, ${value}, ${value} > largest${q});`;
    })
    .join("\n  ")}`,
  );
  const chosen = range(count).map((q) => `i32(best${q})`);
  return {
    code: wgsl`
${input(0, "xs", x.primal, vector(tiles.wide))}
${output(2, "indices", index.primal, vector(count, "i32"))}
${tiles.head()}
  ${read(tiles, "primal", "xs")}
  ${best.join("\n  ")}
  indices[${at(index.primal && inVectors(index.primal, count), "i")}] = ${packed(chosen, "i32")};
}`,
    grid: tiles.grid,
  };
}

export function tiledGather(pool: Pool, x: Operand, index: Operand | undefined, y: Operand): Kernel {
  const tiles = new Tiles(pool, x, index === undefined, y, index);
  const { count } = tiles;
  const halves = (["primal", "tangent"] as const).filter((half) => y[half] !== undefined);
  const bufferOf = (half: Half, name: string) => (half === "primal" ? name : `d_${name}`);
  const values = (half: Half) =>
    range(count).map((q) => {
      if (x[half] === undefined) return "0.0";
      if (index !== undefined) {
        const place = `plane + u32(${component("chosen", count, q)})`;
        return `${bufferOf(half, "xs")}[${at(x[half], place)}]`;
      }
      return range(pool.size ** 2)
        .map((e) => tiles.element(half, q, e))
        .join(" + ");
    });
  const summed = index === undefined ? halves.filter((half) => x[half] !== undefined) : [];
  return {
    code: wgsl`
${dualInput(0, "xs", x, vector(tiles.wide))}
${index ? input(2, "indices", index.primal, vector(count, "i32")) : ""}
${dualOutput(index ? 2 : 1, "ys", y, vector(count))}
${tiles.head()}
  ${index?.primal ? `let chosen = indices[${at(inVectors(index.primal, count), "i")}];` : ""}
  ${summed.map((half) => read(tiles, half, bufferOf(half, "xs"))).join("\n  ")}
  ${halves
    .map((half) => {
      const place = at(inVectors(y[half]!, count), "i");
      return `${bufferOf(half, "ys")}[${place}] = ${packed(values(half))};`;
    })
    .join("\n  ")}
}`,
    grid: tiles.grid,
  };
}

/** Of windows that leave nothing over. */
export function tiledScatter(pool: Pool, y: Operand, index: Operand | undefined, x: Operand): Kernel {
  const tiles = new Tiles(pool, x, true, y, index);
  const { count, wide } = tiles;
  const halves = (["primal", "tangent"] as const).filter((half) => x[half] !== undefined);
  const store = (half: Half) => {
    const [from, to] = half === "primal" ? ["value", "xs"] : ["d_value", "d_xs"];
    const row = count * pool.size;
    return tiles.vectors(half).map(({ index: position }, k) => {
      const elements = range(wide).map((e) => {
        const column = ((k * wide) % row) + e;
        const q = Math.floor(column / pool.size);
        const within = Math.floor((k * wide) / row) * pool.size + (column % pool.size);
        const value = y[half] ? component(from!, count, q) : "0.0";
        if (index === undefined) return value;
        return `select(0.0, ${value}, u32(${component("chosen", count, q)}) == ${tiles.place(q, within)})`;
      });
      return `${to}[${position}] = ${packed(elements)};`;
    });
  };
  const own = (view: Operand["primal"]) => at(view && inVectors(view, count), "i");
  return {
    code: wgsl`
${dualInput(0, "ys", y, vector(count))}
${index ? input(2, "indices", index.primal, vector(count, "i32")) : ""}
${dualOutput(index ? 2 : 1, "xs", x, vector(wide))}
${tiles.head()}
  ${index ? `let chosen = indices[${own(index.primal)}];` : ""}
  ${x.primal && y.primal ? `let value = ys[${own(y.primal)}];` : ""}
  ${x.tangent && y.tangent ? `let d_value = d_ys[${own(y.tangent)}];` : ""}
  ${halves.flatMap(store).join("\n  ")}
}`,
    grid: tiles.grid,
  };
}
