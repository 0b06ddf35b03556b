import type { Block } from "./block.ts";
import type { Gpu } from "./gpu.ts";

/**
 * Staging buffers through which a block comes back again and again without a new object: while one is mapped,
 * the next is being filled.
 */
export class Readback {
  readonly block: Block;
  readonly #gpu: Gpu;
  readonly #free: GPUBuffer[];

  constructor(gpu: Gpu, block: Block, depth = 2) {
    this.block = block;
    this.#gpu = gpu;
    this.#free = Array.from({ length: depth }, () =>
      gpu.buffer(`${block.label} staging`, block.bytes, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ),
    );
  }

  /** Appends the copy to a command buffer; the result is the function that waits for it, to be called after submit. */
  encode(encoder: GPUCommandEncoder, source: GPUBuffer): () => Promise<ArrayBuffer> {
    const staging = this.#free.shift();
    if (staging === undefined) throw new Error(`all staging buffers of ${this.block.label} are in flight`);
    encoder.copyBufferToBuffer(source, 0, staging, 0, this.block.bytes);
    return async () => {
      await staging.mapAsync(GPUMapMode.READ);
      this.#gpu.check();
      const bytes = staging.getMappedRange().slice(0);
      staging.unmap();
      this.#free.push(staging);
      return bytes;
    };
  }

  destroy(): void {
    for (const buffer of this.#free) buffer.destroy();
  }
}
