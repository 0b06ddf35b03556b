import { at, type Operand } from "../operand.ts";
import { range } from "../range.ts";
import { component, inVectors, vector, vectorNumber, type Width } from "../width.ts";
import type { Halves } from "./window.ts";

/**
 * A factor of which all threads need the same `count` elements in a turn of a loop. In a subgroup each thread reads some
 * of them and broadcasts hand them round, which is much cheaper than a read on drivers that read thread by thread; without
 * one every thread reads them all.
 */
export interface SharedFactor {
  /** Of the buffer in WGSL. */
  readonly name: string;
  /** 0 or 1: left or right of the product. */
  readonly side: 0 | 1;
  readonly operand: Operand;
  readonly count: number;
  /** WGSL (u32) for where element `e`, itself WGSL, stands, but for what the loops move. */
  readonly place: (e: string) => string;
  /** Elements that a thread that reads them all may read as vectors; default 1. */
  readonly width?: Width;
}

export class SharedReads {
  readonly #factor: SharedFactor;
  readonly #halves: Halves;
  /** Threads of a subgroup, which is a workgroup too. */
  readonly #threads: number | undefined;

  constructor(factor: SharedFactor, halves: Halves, threads: number | undefined) {
    this.#factor = factor;
    this.#halves = halves;
    this.#threads = threads;
  }

  /** Elements that one read brings in. */
  get #width(): Width {
    return this.#threads === undefined ? (this.#factor.width ?? 1) : 1;
  }

  /** The type of what one read brings in. */
  get type(): string {
    return vector(this.#width);
  }

  /** WGSL ahead of the loops. */
  start(): string {
    const { name, count, place } = this.#factor;
    if (this.#threads === undefined) return "";
    const threads = this.#threads;
    return range(Math.ceil(count / threads))
      .map((part) => {
        const element = part === 0 ? "thread" : `(thread + ${part * threads}u)`;
        const inside = (part + 1) * threads <= count ? element : `min(${element}, ${count - 1}u)`;
        return `let ${name}_from${part} = ${place(inside)};`;
      })
      .join("\n  ");
  }

  /** WGSL that reads all elements, `moved` (WGSL, u32) further. */
  reads(moved: string): string {
    const { name, count, place } = this.#factor;
    const threads = this.#threads;
    const width = this.#width;
    const from = (part: number) =>
      threads === undefined ? place(`${part * width}u`) : `${name}_from${part}`;
    return this.#both((prefix, view) =>
      range(Math.ceil(count / (threads ?? width)))
        .map((part) => {
          const where = view && at(inVectors(view, width), vectorNumber(`${moved} + ${from(part)}`, width));
          return `let ${prefix}${name}_part${part} = ${prefix}${name}[${where}];`;
        })
        .join(" "),
    );
  }

  /** WGSL that gives element `e` the name `as`, its tangent `d_` before it; with a condition, zero where it fails. */
  element(e: number, as: string, condition?: string): string {
    const { name } = this.#factor;
    const threads = this.#threads;
    const width = this.#width;
    return this.#both((prefix) => {
      const value =
        threads === undefined
          ? component(`${prefix}${name}_part${Math.floor(e / width)}`, width, e)
          : `subgroupBroadcast(${prefix}${name}_part${Math.floor(e / threads)}, ${e % threads}u)`;
      return `let ${prefix}${as} = ${condition === undefined ? value : `select(0.0, ${value}, ${condition})`};`;
    });
  }

  #both(text: (prefix: "" | "d_", view: Operand["primal"]) => string): string {
    const { side, operand } = this.#factor;
    const { primal, tangent } = this.#halves;
    return [
      primal[side] ? text("", operand.primal) : "",
      tangent[side] ? text("d_", operand.tangent) : "",
    ].join(" ");
  }
}
