/**
 * Dawn for Node, with the adapter that HYPERGRAD_ADAPTER names: `lavapipe` (a system Mesa), `swiftshader`
 * (bundled with @sparticuz/chromium), or unset for what Vulkan offers first, then SwiftShader.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const RTLD_NODELETE = 0x1000;
const names = ["lavapipe", "swiftshader"];

/** The adapters' owner must outlive every device: dawn.node crashes when it is collected. */
let keptGpu;

function useDriver(icd) {
  process.env.VK_DRIVER_FILES = icd;
  process.env.VK_ICD_FILENAMES = icd;
}

function unpackSwiftShader() {
  const cache = join(import.meta.dirname, "node_modules", ".cache");
  const folder = join(cache, "swiftshader");
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
  const root =
    entry.slice(0, entry.lastIndexOf(join("@sparticuz", "chromium"))) + join("@sparticuz", "chromium");
  const fresh = mkdtempSync(join(cache, "unpack-"));
  execFileSync("tar", ["xf", "-", "-C", fresh], {
    input: brotliDecompressSync(readFileSync(join(root, "bin", "swiftshader.tar.br"))),
  });
  try {
    renameSync(fresh, folder);
  } catch {
    rmSync(fresh, { recursive: true }); // another process was first
  }
  return folder;
}

/** Keeps the bundled Vulkan loader mapped, so that Dawn finds it by its soname. */
function useSwiftShader() {
  const folder = unpackSwiftShader();
  useDriver(join(folder, "vk_swiftshader_icd.json"));
  try {
    process.dlopen(
      { exports: {} },
      join(folder, "libvulkan.so.1"),
      constants.dlopen.RTLD_NOW | RTLD_NODELETE,
    );
  } catch {
    // Node says "did not self-register", but the library stays loaded.
  }
}

function useLavapipe() {
  const folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
  const files = folders.flatMap((folder) => [
    join(folder, "lvp_icd.json"),
    join(folder, "lvp_icd.x86_64.json"),
  ]);
  const icd = files.find((file) => existsSync(file));
  if (!icd) throw new Error("no lavapipe: install Mesa's Vulkan drivers (Debian: mesa-vulkan-drivers)");
  useDriver(icd);
}

/**
 * Installs the WebGPU globals and `navigator.gpu`.
 *
 * @returns the adapter's description.
 * @throws when HYPERGRAD_ADAPTER has another value or no adapter is found.
 */
export async function installWebGpu() {
  const wanted = process.env.HYPERGRAD_ADAPTER || undefined;
  if (wanted && !names.includes(wanted))
    throw new Error(`HYPERGRAD_ADAPTER is "${wanted}"; use ${names.join(", ")} or leave it unset`);
  if (wanted === "swiftshader") useSwiftShader();
  if (wanted === "lavapipe") useLavapipe();

  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  keptGpu = create([]);
  let adapter = await keptGpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter && !wanted) {
    useSwiftShader();
    keptGpu = create([]);
    adapter = await keptGpu.requestAdapter({ powerPreference: "high-performance" });
  }
  if (!adapter) throw new Error(`Dawn found no adapter (HYPERGRAD_ADAPTER=${wanted ?? ""})`);
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu: keptGpu, userAgent: `Node.js/${process.versions.node}`, hardwareConcurrency: 2 },
    configurable: true,
  });
  const { vendor, architecture, device, description } = adapter.info;
  return [description || device || vendor, architecture].filter(Boolean).join(", ");
}
