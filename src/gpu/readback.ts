import { Block } from "./block.ts";
import type { Gpu } from "./gpu.ts";

/** Copies of a block under way to the host at the same time. */
const DEPTH = 2;

/** Milliseconds that work is first taken to last. */
const SHORT = 25;

/** The staging blocks that a readback of `block` takes. */
export function stagingOf(block: Block): Block[] {
  return Array.from(
    { length: DEPTH },
    (_, index) => new Block(`${block.label} staging ${index}`, "bookkeeping", block.bytes),
  );
}

/**
 * Brings a block back again and again without a new object: while one staging buffer is mapped, the next is being
 * filled.
 */
export class Readback {
  readonly block: Block;
  readonly #gpu: Gpu;
  readonly #free: GPUBuffer[];
  /** Milliseconds that such work is taken to last, from what the waits before took. */
  readonly #expected = new Map<string, number>();

  constructor(gpu: Gpu, block: Block, staging: readonly GPUBuffer[]) {
    this.block = block;
    this.#gpu = gpu;
    this.#free = [...staging];
  }

  /**
   * Appends the copy to a command buffer; the result is the function that waits for it, to be called after submit.
   * `work` names what the commands do, as different work takes a different time.
   */
  encode(encoder: GPUCommandEncoder, source: GPUBuffer, work: string): () => Promise<ArrayBuffer> {
    const staging = this.#free.shift();
    if (staging === undefined) throw new Error(`all staging buffers of ${this.block.label} are in flight`);
    encoder.copyBufferToBuffer(source, 0, staging, 0, this.block.bytes);
    const start = performance.now();
    return async () => {
      await this.#sleep(0.9 * (this.#expected.get(work) ?? 0));
      const awake = performance.now();
      const bytes = await this.#gpu.read(staging);
      const end = performance.now();
      // When little was left after the sleep, it may have outlasted the work: on a busy machine to hear of the end takes
      // milliseconds too, and these must not add up from wait to wait. One long wait, by a machine that was suspended
      // or compiled something first, must not make the next ones sleep as long.
      const took = end - awake < (awake - start) / 2 ? 0.7 * (end - start) : end - start;
      this.#expected.set(work, Math.min(took, 2 * (this.#expected.get(work) ?? SHORT)));
      this.#free.push(staging);
      return bytes;
    };
  }

  /**
   * While a map is pending, Dawn for Node polls as fast as it can, which takes a core away from a software adapter:
   * most of the wait is slept through first. Can go when dawn.node waits without polling.
   */
  async #sleep(milliseconds: number): Promise<void> {
    const { software, runtime } = this.#gpu.choice;
    if (!software || runtime !== "node" || milliseconds < 1) return;
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}
