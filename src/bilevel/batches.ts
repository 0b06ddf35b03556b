import { align, Block, OFFSET_ALIGNMENT, type Resource } from "../gpu/block.ts";
import { Random } from "../random.ts";

export interface BatchOptions {
  readonly examples: number;
  readonly batch: number;
  /** Rows of the table: one for each step that draws a batch of its own. */
  readonly steps: number;
  readonly seed: number;
}

/**
 * The examples of each step's mini-batch: a table of indices, one row a step. Epochs run without replacement; what
 * is left of an epoch that does not fill a batch is dropped.
 */
export class Batches {
  /** Holds the first of the `tables`. */
  readonly block: Block;
  readonly #options: BatchOptions;
  readonly #stride: number;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#stride = align(4 * options.batch, OFFSET_ALIGNMENT);
    this.block = new Block(
      "batches",
      "bookkeeping",
      this.#stride * options.steps,
      this.tables().next().value,
    );
  }

  /** Tables for one outer step after another, the same ones at every call. */
  *tables(): Generator<Int32Array<ArrayBuffer>, never> {
    const { batch, steps, examples, seed } = this.#options;
    const random = new Random(seed);
    let epoch = new Uint32Array();
    let next = 0;
    for (;;) {
      const table = new Int32Array((this.#stride / 4) * steps);
      for (let step = 0; step < steps; step++) {
        if (next + batch > epoch.length) {
          epoch = random.permutation(examples) as Uint32Array<ArrayBuffer>;
          next = 0;
        }
        table.set(epoch.subarray(next, next + batch), (this.#stride / 4) * step);
        next += batch;
      }
      yield table;
    }
  }

  /** The row of step `index`, counted from 0. */
  row(index: number): Resource {
    return { block: this.block, offset: this.#stride * index, size: 4 * this.#options.batch, dynamic: true };
  }
}
