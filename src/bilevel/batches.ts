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
  readonly block: Block;
  readonly #options: BatchOptions;
  readonly #random: Random;
  readonly #stride: number;
  #epoch = new Uint32Array();
  #next = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#stride = align(4 * options.batch, OFFSET_ALIGNMENT);
    this.block = new Block("batches", "bookkeeping", this.#stride * options.steps, this.draw());
  }

  /** A new table, to be written over the block for the next outer step. */
  draw(): Int32Array<ArrayBuffer> {
    const { batch, steps, examples } = this.#options;
    const table = new Int32Array((this.#stride / 4) * steps);
    for (let step = 0; step < steps; step++) {
      if (this.#next + batch > this.#epoch.length) {
        this.#epoch = this.#random.permutation(examples) as Uint32Array<ArrayBuffer>;
        this.#next = 0;
      }
      table.set(this.#epoch.subarray(this.#next, this.#next + batch), (this.#stride / 4) * step);
      this.#next += batch;
    }
    return table;
  }

  /** The row of step `index`, counted from 0. */
  row(index: number): Resource {
    return { block: this.block, offset: this.#stride * index, size: 4 * this.#options.batch, dynamic: true };
  }
}
