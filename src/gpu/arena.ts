import { Block, type Role } from "./block.ts";

/**
 * Blocks shared by values whose lifetimes do not overlap. Planning takes and releases in the order in which the
 * dispatches will run; a free block grows to fit rather than leave a new one to be made.
 */
export class Arena {
  readonly blocks: Block[] = [];
  readonly #free = new Set<Block>();
  readonly #role: Role;

  constructor(role: Role) {
    this.#role = role;
  }

  take(bytes: number): Block {
    const block = this.#fitting(bytes) ?? this.#largest() ?? this.#add(bytes);
    this.#free.delete(block);
    block.bytes = Math.max(block.bytes, Math.ceil(bytes / 16) * 16);
    return block;
  }

  /** A block that nothing had before, for what has to stay while programs that were planned earlier run again. */
  takeNew(bytes: number): Block {
    return this.#add(bytes);
  }

  release(block: Block): void {
    this.#free.add(block);
  }

  #fitting(bytes: number): Block | undefined {
    let best: Block | undefined;
    for (const block of this.#free) {
      if (block.bytes >= bytes && (best === undefined || block.bytes < best.bytes)) best = block;
    }
    return best;
  }

  #largest(): Block | undefined {
    let largest: Block | undefined;
    for (const block of this.#free) {
      if (largest === undefined || block.bytes > largest.bytes) largest = block;
    }
    return largest;
  }

  #add(bytes: number): Block {
    const block = new Block(`arena ${this.blocks.length}`, this.#role, bytes);
    this.blocks.push(block);
    return block;
  }
}
