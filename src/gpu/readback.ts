import { Block } from "./block.ts";
import type { Gpu } from "./gpu.ts";

/** Copies of a block under way to the host at the same time. */
const DEPTH = 2;

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
  /** Milliseconds that the last wait took. */
  #expected = 0;

  constructor(gpu: Gpu, block: Block, staging: readonly GPUBuffer[]) {
    this.block = block;
    this.#gpu = gpu;
    this.#free = [...staging];
  }

  /** Appends the copy to a command buffer; the result is the function that waits for it, to be called after submit. */
  encode(encoder: GPUCommandEncoder, source: GPUBuffer): () => Promise<ArrayBuffer> {
    const staging = this.#free.shift();
    if (staging === undefined) throw new Error(`all staging buffers of ${this.block.label} are in flight`);
    encoder.copyBufferToBuffer(source, 0, staging, 0, this.block.bytes);
    const start = performance.now();
    return async () => {
      await this.#sleep();
      const bytes = await this.#gpu.read(staging);
      this.#expected = performance.now() - start;
      this.#free.push(staging);
      return bytes;
    };
  }

  /**
   * While a map is pending, Dawn for Node polls as fast as it can, which takes a core away from a software adapter:
   * most of the wait is slept through first. Can go when dawn.node waits without polling.
   */
  async #sleep(): Promise<void> {
    const { software, runtime } = this.#gpu.choice;
    const milliseconds = 0.9 * this.#expected;
    if (!software || runtime !== "node" || milliseconds < 10) return;
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}
