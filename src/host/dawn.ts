import { type BundledVulkan, bundledVulkan, withBundledDriver } from "./bundled.ts";
import type { AdapterRequest, Candidate, Tried } from "./candidates.ts";
import { addMountedDrivers } from "./drivers.ts";

// An instance that JavaScript forgets is freed under its adapters: held until releaseGpu().
let instances: GPU[] = [];

/** Lets go of Dawn. Every device must have been destroyed before. */
export function releaseDawn(): void {
  instances = [];
}

/**
 * Adapters in Node, through Dawn (npm's webgpu): the system's drivers, then the bundled SwiftShader.
 * Defines GPUBufferUsage and the like on globalThis, where browsers have them.
 */
export async function* dawnAdapters(
  request: AdapterRequest,
  toggles: readonly string[],
  tried: Tried,
): AsyncGenerator<Candidate> {
  let dawn: typeof import("webgpu");
  try {
    dawn = await import("webgpu");
  } catch (error) {
    tried.push(`Dawn (npm's webgpu): ${error instanceof Error ? error.message : String(error)}`);
    return;
  }
  Object.assign(globalThis, dawn.globals);

  const ask = async (source: string, flags: readonly string[]): Promise<Candidate | undefined> => {
    try {
      const gpu = dawn.create([...flags, ...toggleFlags(toggles)]);
      const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
      if (adapter) {
        instances.push(gpu);
        return { adapter, source };
      }
      tried.push(`${source}: Dawn accepts none of them`);
    } catch (error) {
      tried.push(`${source}: ${error instanceof Error ? error.message : String(error)}`);
    }
    return undefined;
  };

  await addMountedDrivers();
  await provideLoader();
  const source = "the system's drivers";
  if (request !== "swiftshader") {
    const first = await ask(source, []);
    if (first) yield first;
    const name = nameFor(request);
    const named = first && name && (await ask(source, [`adapter=${name}`]));
    if (named) yield named;
  }
  if (request === "hardware" || request === "lavapipe") return;

  let bundled: BundledVulkan;
  try {
    bundled = await bundledVulkan();
  } catch (error) {
    tried.push(`the bundled SwiftShader: ${error instanceof Error ? error.message : String(error)}`);
    return;
  }
  const last = await withBundledDriver(bundled, () => ask(`SwiftShader from npm's ${bundled.source}`, []));
  if (last) yield last;
}

/** Dawn hands out one adapter an instance; another than the first has to be asked for by its name. */
function nameFor(request: AdapterRequest): string | undefined {
  if (request === "auto" || request === "hardware") return undefined;
  return request === "software" || request === "lavapipe" ? "llvmpipe" : request;
}

/** `name` turns a Dawn toggle on, `-name` turns it off. */
function toggleFlags(toggles: readonly string[]): string[] {
  const on = toggles.filter((name) => !name.startsWith("-"));
  const off = toggles.filter((name) => name.startsWith("-")).map((name) => name.slice(1));
  return [
    ...(on.length > 0 ? [`enable-dawn-features=${on.join(",")}`] : []),
    ...(off.length > 0 ? [`disable-dawn-features=${off.join(",")}`] : []),
  ];
}

/** Where the machine has no libvulkan.so.1, maps the bundled one: it finds the system's drivers too. */
async function provideLoader(): Promise<void> {
  if (process.platform !== "linux" || isLoaded(await load("libvulkan.so.1"))) return;
  const bundled = await bundledVulkan().catch(() => undefined);
  if (bundled) await load(bundled.loader);
}

/**
 * dlopen without a Node module inside: Node throws "did not self-register" afterwards, but the library stays
 * mapped (RTLD_NODELETE) and Dawn, which opens "libvulkan.so.1", is given it by its name.
 *
 * @returns Node's message
 */
async function load(library: string): Promise<string> {
  const { constants } = await import("node:os");
  const RTLD_NODELETE = 0x1000;
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return "";
  } catch (error) {
    return String(error);
  }
}

function isLoaded(message: string): boolean {
  return message === "" || message.includes("did not self-register");
}
