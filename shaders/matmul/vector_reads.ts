import { component, fit, placed, type Width } from "../width.ts";
import { at, type Factor, factors, inside, lines, type MatmulShape, read } from "./product.ts";

/** A part of a factor as one thread reads it: `count` rows of A or columns of B, `depth` terms of the sum at a time. */
export interface Part {
  readonly count: number;
  readonly depth: number;
  /** The last parts may hang over the edge of the matrix. */
  readonly ragged: boolean;
}

/** WGSL for a thread that reads its own part of a factor, several neighbours at once where the layout allows. */
export class VectorReads {
  readonly factor: Factor;
  /** Elements that one read brings in. */
  readonly width: Width;
  /** The same, as neighbours across the factor and along the sum. */
  readonly #across: number;
  readonly #along: number;
  readonly #part: Part;

  constructor(c: MatmulShape, factor: Factor, part: Part) {
    this.factor = factor;
    this.width = readWidth(c, factor, part);
    this.#across = factor.along === 1 ? 1 : this.width;
    this.#along = factor.along === 1 ? this.width : 1;
    this.#part = part;
  }

  /** Before the loop: the offset of each row or column. Factors of one axis have the same. */
  offsets(): string {
    const { axis, extent, across } = this.factor;
    return lines(this.#part.count / this.#across, (block) => {
      const i = block * this.#across;
      return `  let ${axis}${i} = ${inside(axis, i, this.#part.ragged, extent - this.#across)} * ${across};`;
    });
  }

  /** Before the loop: where the factor begins in its buffer. */
  start(): string {
    return `  let ${this.factor.name}Start = ${at(this.factor.view)};`;
  }

  /** Reads `length` terms from term `p` on. */
  reads(length: number): string {
    const { name, axis, along } = this.factor;
    return lines(this.#part.count / this.#across, (block) =>
      lines(Math.ceil(length / this.#along), (turn) => {
        const [i, q] = [block * this.#across, turn * this.#along];
        return `  let ${name}${i}_${q} = ${read(this.factor, `${name}Start + ${axis}${i} + (p + ${q}) * ${along}`, this.width)};`;
      }),
    );
  }

  /** What was read for row or column `i` and term `p + q`. */
  element(i: number, q: number): string {
    const [inBlock, inTurn] = [i % this.#across, q % this.#along];
    return component(`${this.factor.name}${i - inBlock}_${q - inTurn}`, this.width, inBlock + inTurn);
  }
}

/** Elements that one read of a factor brings in; of bytes four, a word, or one. */
export function readWidth(c: MatmulShape, factor: Factor, part: Pick<Part, "count" | "depth">): Width {
  const width = neighbours(c, factor, part);
  return factor.view.isUnorm8 && width < 4 ? 1 : width;
}

/** Those that stand side by side wherever a part may begin: 4 or 2 where strides, extents and offsets of its axis allow. */
function neighbours(
  c: MatmulShape,
  { axis, across, along, extent }: Factor,
  { count, depth }: Pick<Part, "count" | "depth">,
): Width {
  const alike = factors(c)
    .filter((f) => f.axis === axis)
    .flatMap((f) => placed(f.view));
  if (along === 1) return fit([depth, c.k, extent > 1 ? across : 0, ...alike]);
  if (across === 1) return fit([count, extent, c.k > 1 ? along : 0, ...alike]);
  return 1;
}
