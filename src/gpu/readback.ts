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
    return async () => {
      const bytes = await this.#gpu.read(staging);
      this.#free.push(staging);
      return bytes;
    };
  }
}
