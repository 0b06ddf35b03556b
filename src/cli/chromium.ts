import { existsSync } from "node:fs";
import type { LaunchOptions } from "playwright-core";
import { bundledChromium } from "../host/bundled.ts";
import { environment } from "../host/runtime.ts";
import { note } from "../host/terminal.ts";

/**
 * How Playwright starts a headless Chromium with WebGPU: the one named by HYPERGRAD_BROWSER, else npm's.
 *
 * @param adapter as in `requestAdapter`; left out, Chromium takes a real GPU and falls back to SwiftShader
 * @throws Error when there is no such browser
 */
export async function chromiumOptions(adapter: string | undefined): Promise<LaunchOptions> {
  const own = environment("HYPERGRAD_BROWSER");
  if (own && !existsSync(own)) throw new Error(`HYPERGRAD_BROWSER: there is no file ${own}`);
  const { executable, environment: extra } = own
    ? { executable: own, environment: {} }
    : await bundledChromium(() => note("unpacking Chromium (once)")).catch((error: Error) => {
        throw new Error(`${error.message}; set HYPERGRAD_BROWSER to the executable of a Chromium`);
      });
  const isSoftware = adapter === "software" || adapter === "swiftshader";
  return {
    executablePath: executable,
    env: { ...driverChoice(process.env as Record<string, string>), ...extra },
    args: [
      "--no-sandbox",
      "--enable-unsafe-webgpu",
      "--enable-features=Vulkan",
      "--ignore-gpu-blocklist",
      ...(isSoftware
        ? ["--use-webgpu-adapter=swiftshader"]
        : ["--use-angle=vulkan", "--disable-vulkan-surface"]),
    ],
  };
}

/**
 * Chromium names SwiftShader to the Vulkan loader by VK_ICD_FILENAMES, over which VK_DRIVER_FILES wins: the user's
 * choice moves to the name that Chromium can change.
 */
function driverChoice({ VK_DRIVER_FILES: drivers, ...rest }: Record<string, string>): Record<string, string> {
  return drivers === undefined ? rest : { ...rest, VK_ICD_FILENAMES: drivers };
}
