/**
 * Where an npm package lies and its version, as seen from this package. Node and Deno only.
 *
 * @throws Error when it is not installed
 */
export async function findPackage(name: string): Promise<{ folder: string; version: string }> {
  const { createRequire } = await import("node:module");
  const { join } = await import("node:path");
  // A folder that `hypergrad pack` wrote carries its packages itself.
  const own = await ownPackage().catch(() => undefined);
  const packed = own && (await packageIn(join(own.folder, "packages", name), name));
  if (packed) return packed;
  // The entry point, not package.json: a package need not export that.
  return enclosingPackage(name, createRequire(import.meta.url).resolve(name));
}

/** Where this package itself lies: scripts and the command line's own sources are found from there. */
export async function ownPackage(): Promise<{ folder: string; version: string }> {
  const { fileURLToPath } = await import("node:url");
  return enclosingPackage("hypergrad", fileURLToPath(import.meta.url));
}

async function enclosingPackage(name: string, file: string): Promise<{ folder: string; version: string }> {
  const { dirname } = await import("node:path");
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const found = await packageIn(folder, name);
    if (found) return found;
    if (dirname(folder) === folder) throw new Error(`the npm package ${name} is not installed`);
  }
}

async function packageIn(
  folder: string,
  name: string,
): Promise<{ folder: string; version: string } | undefined> {
  const { readFile } = await import("node:fs/promises");
  const { join } = await import("node:path");
  const text = await readFile(join(folder, "package.json"), "utf8").catch(() => "{}");
  const found = JSON.parse(text) as { name?: string; version?: string };
  return found.name === name ? { folder, version: found.version ?? "0" } : undefined;
}
