import { bundledVulkan, withBundledDriver } from "./bundled.ts";
import type { AdapterRequest, Candidate, Tried } from "./candidates.ts";
import { addMountedDrivers } from "./drivers.ts";
import { runtime } from "./runtime.ts";
import { systemVulkan } from "./vulkan.ts";

/** Adapters of navigator.gpu, in browsers and in Deno. */
export async function* navigatorAdapters(
  request: AdapterRequest,
  toggles: readonly string[],
  tried: Tried,
): AsyncGenerator<Candidate> {
  if (toggles.length > 0) {
    tried.push(`navigator.gpu: it has no toggles (${toggles.join(", ")}); they are Dawn's, in Node`);
    return;
  }
  if (!navigator.gpu) {
    tried.push(
      runtime() === "deno"
        ? "navigator.gpu: missing; pass --unstable-webgpu to deno, or use Deno 2.5 or later"
        : "navigator.gpu: missing; WebGPU needs a recent browser and a page from https or localhost",
    );
    return;
  }
  const ask = async (options: GPURequestAdapterOptions) =>
    (await navigator.gpu.requestAdapter(options)) ?? undefined;

  if (runtime() === "deno") {
    yield* denoAdapters(request, ask, tried);
    return;
  }
  const first = await ask({ powerPreference: "high-performance" });
  if (first) yield { adapter: first, source: "the browser" };
  const second = await ask({ forceFallbackAdapter: true });
  if (second) yield { adapter: second, source: "the browser's software driver" };
  if (!first && !second) tried.push("navigator.gpu: the browser has no adapter");
}

type Ask = (options: GPURequestAdapterOptions) => Promise<GPUAdapter | undefined>;

/** Deno opens Vulkan once, at the first request: the driver has to be chosen before that. */
async function* denoAdapters(request: AdapterRequest, ask: Ask, tried: Tried): AsyncGenerator<Candidate> {
  let source = "the system's drivers";
  let run = <T>(work: () => Promise<T>): Promise<T> => work();
  if (process.platform === "linux") {
    await addMountedDrivers();
    const system = systemVulkan("libvulkan.so.1");
    const bundled = await bundledVulkan().catch((error: Error) => {
      tried.push(`the bundled SwiftShader: ${error.message}`);
      return undefined;
    });
    // Only the loader may be missing: the bundled one finds the system's drivers too.
    const devices = system.loaded || !bundled ? system.devices : systemVulkan(bundled.loader).devices;
    if (devices === 0) tried.push("the system's drivers: no Vulkan driver finds a device");
    if (
      bundled &&
      (request === "swiftshader" || (devices === 0 && request !== "hardware" && request !== "lavapipe"))
    ) {
      source = `SwiftShader from npm's ${bundled.source}`;
      run = (work) => withBundledDriver(bundled, work);
    }
  }
  const first = await run(() => ask({ powerPreference: "high-performance" }));
  if (first) yield { adapter: first, source };
  const second = await ask({ forceFallbackAdapter: true });
  if (second) yield { adapter: second, source };
  if (!first && !second) tried.push("navigator.gpu: Deno has no adapter");
}
