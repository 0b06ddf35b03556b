interface DenoFfi {
  dlopen(path: string, symbols: object): { symbols: Record<string, (...args: unknown[]) => number> };
  UnsafePointer: { create(address: bigint): unknown };
}

/**
 * Asks a Vulkan loader in Deno how many devices its drivers find. The library stays mapped, so that Deno's
 * own WebGPU, which opens "libvulkan.so.1", is given the same one.
 *
 * @returns devices 0 when the library is missing or no driver works; undefined when Deno may not look (it was
 * started without --allow-ffi)
 */
export function systemVulkan(library: string): { loaded: boolean; devices: number | undefined } {
  const deno = (globalThis as unknown as { Deno: DenoFfi }).Deno;
  let vk: ReturnType<DenoFfi["dlopen"]>["symbols"];
  try {
    vk = deno.dlopen(library, {
      vkCreateInstance: { parameters: ["buffer", "pointer", "buffer"], result: "i32" },
      vkEnumeratePhysicalDevices: { parameters: ["pointer", "buffer", "pointer"], result: "i32" },
      vkDestroyInstance: { parameters: ["pointer", "pointer"], result: "void" },
    }).symbols;
  } catch (error) {
    const denied = error instanceof Error && error.name === "NotCapable";
    return { loaded: denied, devices: denied ? undefined : 0 };
  }
  // VkInstanceCreateInfo with everything empty; its first field says what it is.
  const createInfo = new Uint32Array(16);
  createInfo[0] = 1;
  const address = new BigUint64Array(1);
  if (vk.vkCreateInstance!(createInfo, null, address) !== 0) return { loaded: true, devices: 0 };
  const instance = deno.UnsafePointer.create(address[0]!);
  const count = new Uint32Array(1);
  const result = vk.vkEnumeratePhysicalDevices!(instance, count, null);
  vk.vkDestroyInstance!(instance, null);
  return { loaded: true, devices: result === 0 ? count[0]! : 0 };
}
