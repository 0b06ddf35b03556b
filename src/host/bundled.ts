import { untar } from "./archive.ts";
import { cachedFolder } from "./cache.ts";
import { findPackage } from "./packages.ts";

const carrier = "@sparticuz/chromium";

export interface BundledVulkan {
  /** libvulkan.so.1: finds the system's drivers too, so it stands in where only that file is missing. */
  loader: string;
  /** The manifest of the SwiftShader driver. */
  driver: string;
  /** Where it comes from, for people. */
  source: string;
}

/**
 * The Vulkan loader and the SwiftShader driver that npm's @sparticuz/chromium carries, unpacked into the
 * cache folder. Node and Deno on Linux x64 only.
 *
 * @throws Error when this machine is of another kind or the package is missing
 */
export async function bundledVulkan(): Promise<BundledVulkan> {
  const { join } = await import("node:path");
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(
      `the bundled SwiftShader is for Linux on x64, not ${process.platform} on ${process.arch}`,
    );
  }
  const { folder: from, version } = await findPackage(carrier);
  const folder = await cachedFolder(`swiftshader-${version}`, (into) =>
    unpack(join(from, "bin", "swiftshader.tar.br"), into),
  );
  return {
    loader: join(folder, "libvulkan.so.1"),
    driver: join(folder, "vk_swiftshader_icd.json"),
    source: `${carrier} ${version}`,
  };
}

export interface BundledChromium {
  executable: string;
  /** What the executable needs in its environment on a machine without a browser's usual libraries. */
  environment: Record<string, string>;
}

/**
 * The headless Chromium of the same package, with the libraries and a font that a bare machine lacks.
 *
 * @param onUnpack called when it has to be unpacked first (about 5 s and 210 MB, once)
 * @throws Error when this machine is of another kind or the package is missing
 */
export async function bundledChromium(onUnpack: () => void = () => {}): Promise<BundledChromium> {
  const { chmod, writeFile } = await import("node:fs/promises");
  const { join } = await import("node:path");
  const { createReadStream, createWriteStream, existsSync } = await import("node:fs");
  const { pipeline } = await import("node:stream/promises");
  const { createBrotliDecompress } = await import("node:zlib");
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`the bundled Chromium is for Linux on x64, not ${process.platform} on ${process.arch}`);
  }
  const { folder: from, version } = await findPackage(carrier);
  const folder = await cachedFolder(`chromium-${version}`, async (into) => {
    onUnpack();
    // SwiftShader beside the executable: that is where Chromium looks for it.
    for (const part of ["swiftshader", "al2023", "fonts"])
      await unpack(join(from, "bin", `${part}.tar.br`), into);
    const executable = join(into, "chromium");
    await pipeline(
      createReadStream(join(from, "bin", "chromium.br")),
      createBrotliDecompress(),
      createWriteStream(executable),
    );
    await chmod(executable, 0o755);
  });
  const environment: Record<string, string> = {
    LD_LIBRARY_PATH: [join(folder, "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
  };
  if (!existsSync("/etc/fonts/fonts.conf")) {
    const fonts = join(folder, "fonts.xml");
    await writeFile(
      fonts,
      `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/fonts-cache</cachedir></fontconfig>\n`,
    );
    environment.FONTCONFIG_FILE = fonts;
  }
  return { executable: join(folder, "chromium"), environment };
}

async function unpack(archive: string, into: string): Promise<void> {
  const { chmod, mkdir, readFile, writeFile } = await import("node:fs/promises");
  const { dirname, join } = await import("node:path");
  const { brotliDecompressSync } = await import("node:zlib");
  for (const file of untar(brotliDecompressSync(await readFile(archive)))) {
    const path = join(into, file.name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, file.bytes);
    await chmod(path, file.mode);
  }
}

/** Runs `work` while the Vulkan loader of this process sees the bundled driver and no other. */
export async function withBundledDriver<T>(vulkan: BundledVulkan, work: () => Promise<T>): Promise<T> {
  // The second name is the one that loaders before 1.3.207 read.
  const names = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = vulkan.driver;
  try {
    return await work();
  } finally {
    names.forEach((name, i) => {
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
    });
  }
}
