import { vi } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";

/** Records every buffer that is made on a device until `stop` is called. */
export function watchBuffers(gpu: Gpu): { made: GPUBuffer[]; bytes(): number; stop(): void } {
  const made: GPUBuffer[] = [];
  const create = gpu.device.createBuffer.bind(gpu.device);
  const spy = vi.spyOn(gpu.device, "createBuffer").mockImplementation((descriptor) => {
    const buffer = create(descriptor);
    made.push(buffer);
    return buffer;
  });
  return {
    made,
    bytes: () => made.reduce((sum, { size }) => sum + size, 0),
    stop: () => spy.mockRestore(),
  };
}
