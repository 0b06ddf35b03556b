import { environment, runtime } from "./runtime.ts";

/**
 * A folder of our own for unpacked drivers and compiled scripts, made when missing: under $XDG_CACHE_HOME,
 * else ~/.cache, else the temporary folder where the home cannot be written. Node and Deno only.
 *
 * @throws Error when none of them can be written
 */
export async function cacheFolder(): Promise<string> {
  const { join } = await import("node:path");
  const os = await import("node:os");
  const candidates = [
    environment("XDG_CACHE_HOME") && join(environment("XDG_CACHE_HOME")!, "hypergrad"),
    environment("HOME") && join(environment("HOME")!, ".cache", "hypergrad"),
    environment("LOCALAPPDATA") && join(environment("LOCALAPPDATA")!, "hypergrad"),
    join(os.tmpdir(), `hypergrad-${process.getuid?.() ?? "user"}`),
  ].filter((folder) => folder !== undefined);
  for (const folder of candidates) if (await isOurs(folder)) return folder;
  throw new Error(
    `no folder for cached files can be written: tried ${candidates.join(", ")}; set XDG_CACHE_HOME`,
  );
}

/** The path of a file in that folder; none where there is no such folder. */
export async function cacheFile(name: string): Promise<string | undefined> {
  if (runtime() === "browser") return undefined;
  const { join } = await import("node:path");
  return cacheFolder().then(
    (folder) => join(folder, name),
    () => undefined,
  );
}

/** Code is loaded from here, so a folder that another user made (in a shared /tmp) is refused. */
async function isOurs(folder: string): Promise<boolean> {
  const { access, constants, mkdir, stat } = await import("node:fs/promises");
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK);
    const owner = (await stat(folder)).uid;
    return process.getuid === undefined || owner === process.getuid();
  } catch {
    return false;
  }
}

/**
 * The folder `name` in the cache, filled by `fill` when it is not there yet. It appears whole or not at all:
 * two processes that start at once both fill a temporary folder and the first rename wins.
 */
export async function cachedFolder(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const { access, mkdtemp, rename, rm } = await import("node:fs/promises");
  const { join } = await import("node:path");
  const present = (folder: string) =>
    access(folder).then(
      () => true,
      () => false,
    );
  const cache = await cacheFolder();
  const folder = join(cache, name);
  if (await present(folder)) return folder;
  const temporary = await mkdtemp(join(cache, `${name}.part-`));
  try {
    await fill(temporary);
    await rename(temporary, folder).catch(async (error) => {
      if (!(await present(folder))) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return folder;
}
