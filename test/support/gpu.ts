import { afterAll, beforeAll } from "vitest";
import { Gpu } from "../../src/gpu/gpu.ts";
import { environment } from "../../src/host/runtime.ts";
import { forcedVariants } from "./forced.ts";

/**
 * The adapter's device; where FORCED_VARIANT is set, with that one of the `forcedVariants` for all kernels, so that any
 * suite can be run with each of them in turn.
 */
export async function openGpu(): Promise<Gpu> {
  const gpu = await Gpu.open();
  const name = environment("FORCED_VARIANT");
  if (name === undefined) return gpu;
  const all = forcedVariants(gpu);
  gpu.close();
  const variants = all[name];
  if (variants === undefined) throw new Error(`FORCED_VARIANT: there are ${Object.keys(all).join(" | ")}`);
  return await Gpu.open({ variants });
}

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
