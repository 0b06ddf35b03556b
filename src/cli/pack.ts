import { chmod, cp, readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { UsageError } from "../host/errors.ts";
import { writeFile } from "../host/files.ts";
import { findPackage, ownPackage } from "../host/packages.ts";
import { packBundle } from "./pack-bundle.ts";
import { launcher, program, readme } from "./pack-text.ts";

export interface PackOptions {
  /** Where to. */
  folder: string;
  /** The user's scripts, by path; those of this package are packed in any case. */
  scripts: readonly string[];
  /** As npm's webgpu names it: "linux-x64". */
  platform: string;
  /** Copies the Node that runs. */
  node: boolean;
  /** Copies the software driver and the Vulkan loader, where there are some for the platform. */
  swiftshader: boolean;
  /** A folder to copy to data/. */
  data?: string | undefined;
  /** Writes into a folder that is not empty. */
  force: boolean;
}

export interface Pack {
  /** What was written, and how much of it. */
  parts: readonly { name: string; bytes: number }[];
  /** The names of the scripts. */
  scripts: readonly string[];
}

const swiftshader = "@sparticuz/chromium";

/** The names in a packed folder, by what they hold. */
const parts: Readonly<Record<string, readonly string[]>> = {
  programs: [
    ...["hypergrad", "hypergrad.mjs", "package.json", "README.txt", "LICENSES.txt"],
    ...["src", "scripts", "bench", "lib"],
  ],
  Dawn: ["packages/webgpu"],
  SwiftShader: [`packages/${swiftshader}`],
  Node: ["node", "node.exe"],
  data: ["data"],
};

/**
 * Writes a folder that runs by itself: the command line and the scripts as plain modules, Dawn, and what else is asked
 * for.
 *
 * @throws UsageError when the folder is not empty or something that is asked for cannot be had, before anything is
 * written
 */
export async function pack(options: PackOptions): Promise<Pack> {
  const { folder, platform, data } = options;
  const own = await ownPackage();
  const dawn = await dawnFor(platform);
  const isRepacked = await checkFolder(options);
  if (options.node) checkNode(platform);
  if (data !== undefined && !(await stat(data).catch(() => undefined))?.isDirectory()) {
    throw new UsageError(`--data ${data}: there is no such folder`);
  }
  const { files, scripts, packages } = await packBundle(own.folder, options.scripts);

  const into = (...names: string[]) => join(folder, ...names);
  if (isRepacked) {
    for (const name of Object.values(parts).flat()) {
      if (name !== "data" || data !== undefined) await rm(into(name), { recursive: true, force: true });
    }
  }
  for (const [name, bytes] of files) await writeFile(into(name), bytes);
  await writeFile(into("hypergrad"), launcher);
  await chmod(into("hypergrad"), 0o755);
  await writeFile(into("hypergrad.mjs"), program);
  await writeFile(into("README.txt"), readme({ version: own.version, platform, scripts }));
  const about = { name: "hypergrad", version: own.version, private: true, type: "module", packed: platform };
  await writeFile(into("package.json"), `${JSON.stringify(about, undefined, 2)}\n`);

  const carried = new Set([own.folder, ...packages]);
  await copy(dawn.folder, into("packages/webgpu"), ["package.json", `dist/${platform}`]);
  if (options.swiftshader && platform === "linux-x64") {
    const { folder: from } = await findPackage(swiftshader);
    carried.add(from);
    await copy(from, into("packages", swiftshader), ["package.json", "bin/swiftshader.tar.br"]);
  }
  await writeFile(into("LICENSES.txt"), await licenses(carried));
  if (options.node) await cp(process.execPath, into(platform.startsWith("win32") ? "node.exe" : "node"));
  if (data !== undefined) await cp(data, into("data"), { recursive: true, dereference: true });

  const sizes: { name: string; bytes: number }[] = [];
  for (const [name, places] of Object.entries(parts)) {
    let bytes = 0;
    for (const place of places) bytes += await size(into(place));
    if (bytes > 0) sizes.push({ name, bytes });
  }
  return { parts: sizes, scripts };
}

/** @returns whether it holds an earlier pack */
async function checkFolder({ folder, force }: PackOptions): Promise<boolean> {
  const names = await readdir(folder).catch((error: { code?: string }) => {
    if (error.code === "ENOENT") return [] as string[];
    throw new UsageError(`${folder} is no folder that can be written to`);
  });
  if (names.length === 0) return false;
  if (!force) throw new UsageError(`${folder} is not empty: name another folder, or add --force`);
  if (!names.includes("package.json")) return false;
  const { packed } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { packed?: string };
  if (packed === undefined) throw new UsageError(`${folder} holds a package of its own: name another folder`);
  return true;
}

async function dawnFor(platform: string): Promise<{ folder: string }> {
  const dawn = await findPackage("webgpu");
  const platforms = await readdir(join(dawn.folder, "dist"));
  if (platforms.includes(platform)) return dawn;
  throw new UsageError(`--platform is one of ${platforms.join(", ")}, not "${platform}"`);
}

function checkNode(platform: string): void {
  const { platform: system, arch, config } = process;
  const here = `${system}-${system === "darwin" ? "universal" : arch}`;
  if (here !== platform) {
    throw new UsageError(`--node packs this machine's Node, for ${here}: for ${platform} leave it away`);
  }
  const { node_shared: isShared } = config.variables as { node_shared?: boolean };
  if (isShared) {
    throw new UsageError("--node: this Node keeps its code in a shared library; run pack with nodejs.org's");
  }
}

async function copy(from: string, to: string, names: readonly string[]): Promise<void> {
  for (const name of names) await cp(join(from, name), join(to, name), { recursive: true });
}

/** The licences of these packages, as their folders have them. */
async function licenses(folders: Iterable<string>): Promise<string> {
  const texts: string[] = [];
  for (const folder of folders) {
    const about = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
    const names = (await readdir(folder)).filter((name) => /^(licen[cs]e|notice)/i.test(name));
    const files = await Promise.all(names.sort().map((name) => readFile(join(folder, name), "utf8")));
    const heading = `${about.name ?? basename(folder)} ${about.version ?? ""} (${about.license ?? "see below"})`;
    texts.push([heading, "=".repeat(heading.length), ...files.map((text) => text.trim())].join("\n\n"));
  }
  return `${texts.join("\n\n\n")}\n`;
}

async function size(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) return found?.size ?? 0;
  const names = await readdir(path);
  const sizes = await Promise.all(names.map((name) => size(join(path, name))));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
