/**
 * Where an npm package lies and its version, as seen from this package. Node and Deno only.
 *
 * @throws Error when it is not installed
 */
export async function findPackage(name: string): Promise<{ folder: string; version: string }> {
  const { createRequire } = await import("node:module");
  // The entry point, not package.json: a package need not export that.
  return enclosingPackage(name, createRequire(import.meta.url).resolve(name));
}

/** Where this package itself lies: scripts and the command line's own sources are found from there. */
export async function ownPackage(): Promise<{ folder: string; version: string }> {
  const { fileURLToPath } = await import("node:url");
  return enclosingPackage("hypergrad", fileURLToPath(import.meta.url));
}

async function enclosingPackage(name: string, file: string): Promise<{ folder: string; version: string }> {
  const { readFile } = await import("node:fs/promises");
  const { dirname, join } = await import("node:path");
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const text = await readFile(join(folder, "package.json"), "utf8").catch(() => "{}");
    const found = JSON.parse(text) as { name?: string; version?: string };
    if (found.name === name) return { folder, version: found.version ?? "0" };
    if (dirname(folder) === folder) throw new Error(`the npm package ${name} is not installed`);
  }
}
