import { afterAll, beforeAll } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "./forced.ts";

/**
 * One device for a test file, opened before its tests and closed after them; without an adapter they fail. At the
 * end `covers` says in a line what was tested, given the adapter's name.
 */
export function withGpu(covers: (adapter: string) => string): () => Gpu {
  let gpu: Gpu | undefined;
  beforeAll(async () => {
    gpu = await openGpu();
  });
  afterAll(() => {
    if (gpu === undefined) return;
    console.log(covers(gpu.choice.description));
    gpu.close();
  });
  return () => {
    if (gpu === undefined) throw new Error("the device is opened before the tests: ask for it inside a test");
    return gpu;
  };
}
