import type { Block } from "./block.ts";
import type { Sequence } from "./dispatch.ts";
import type { Executable } from "./executable.ts";

/** The words of blocks, by name: counters as whole numbers, all else as floats. */
export type CarriedWords = Readonly<Record<string, Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>>;

/**
 * What one run of some sequences leaves to the next: the blocks that kernels write, and that a run reads before it
 * overwrites them. Everything else is given at the start or made anew by each run.
 */
export class Carried {
  readonly #executable: Executable;
  readonly #blocks: ReadonlyMap<string, Block>;

  /** `runs`: the orders in which the sequences may run. */
  constructor(executable: Executable, runs: readonly (readonly Sequence[])[]) {
    this.#executable = executable;
    this.#blocks = named(new Set(runs.flatMap((run) => [...readBeforeOverwritten(run)])));
  }

  /** Names and bytes, for people and for comparing. */
  toString(): string {
    return [...this.#blocks].map(([name, { bytes }]) => `${name} ${bytes} B`).join(", ");
  }

  async read(): Promise<CarriedWords> {
    const words: Record<string, CarriedWords[string]> = {};
    for (const [name, block] of this.#blocks) {
      const bytes = await this.#executable.read(block);
      words[name] = block.role === "bookkeeping" ? new Uint32Array(bytes) : new Float32Array(bytes);
    }
    return words;
  }

  /** @throws RangeError for other words than `read` gives */
  write(words: CarriedWords): void {
    for (const [name, block] of this.#blocks) {
      const given = words[name];
      if (given?.byteLength !== block.bytes)
        throw new RangeError(`${name} takes ${block.bytes} bytes, ${given?.byteLength ?? "none"} are given`);
      this.#executable.write(block, given);
    }
  }
}

function readBeforeOverwritten(run: readonly Sequence[]): Set<Block> {
  const uses = run.flatMap(({ dispatches }) => dispatches.flatMap(({ bindings }) => bindings));
  const first = new Map<Block, boolean>();
  const written = new Set<Block>();
  for (const { access, resource } of uses) {
    const { block } = resource;
    if (!first.has(block)) first.set(block, access !== "overwrite");
    if (access === "write" || access === "overwrite") written.add(block);
  }
  return new Set([...written].filter((block) => first.get(block)));
}

/** By their labels; the second of a label has a number behind it, and so on. */
function named(blocks: Iterable<Block>): Map<string, Block> {
  const counts = new Map<string, number>();
  const result = new Map<string, Block>();
  for (const block of blocks) {
    const count = (counts.get(block.label) ?? 0) + 1;
    counts.set(block.label, count);
    result.set(count === 1 ? block.label : `${block.label} ${count}`, block);
  }
  return result;
}
