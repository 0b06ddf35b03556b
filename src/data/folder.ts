import { DataError } from "./error.ts";

/**
 * Gives the bytes of a file. For a file that does not exist it must reject as Node, Deno or the browser's
 * file system would: with `code` "ENOENT" or `name` "NotFound" or "NotFoundError".
 */
export type ReadFile = (path: string) => Promise<Uint8Array>;

/** Gives the names in a folder; rejects likewise when there is no such folder. */
export type ListFolder = (path: string) => Promise<readonly string[]>;

/** Sets of published files, each in a folder of its name. */
export const SETS = ["mnist", "fashion-mnist", "omniglot", "cifar10", "cifar100"] as const;
export type SetName = (typeof SETS)[number];

/** `dir/name`, then `dir`, unless `dir` is plainly the folder of another set: their files look alike. */
export function foldersOf(dir: string, name: SetName): string[] {
  const trimmed = dir.replace(/[/\\]+$/, "") || dir;
  const last = trimmed.split(/[/\\]/).at(-1);
  const nested = pathTo(trimmed, name);
  return SETS.some((other) => other !== name && other === last) ? [nested] : [nested, trimmed];
}

export function pathTo(folder: string, name: string): string {
  return `${folder.replace(/\/$/, "")}/${name}`;
}

export interface Opened {
  folder: string;
  path: string;
  bytes: Uint8Array;
}

/** What to do about files of a set that are not in `dir`; `what` says which they are. */
export function fetching(dir: string, name: SetName, what: string): string {
  return `fetch the set with "npx hypergrad data fetch ${name} --data ${dir}", or give the folder that holds ${what}`;
}

/**
 * The first file that is there: each folder in turn, in each the names in turn.
 * @throws DataError with all that was tried, or for a file that is there but cannot be read
 */
export async function openFirst(
  read: ReadFile,
  folders: readonly string[],
  names: readonly string[],
  remedy: string,
): Promise<Opened> {
  const tried: string[] = [];
  for (const folder of folders) {
    for (const name of names) {
      const path = pathTo(folder, name);
      const bytes = await ifThere(path, read);
      if (bytes) return { folder, path, bytes };
      tried.push(path);
    }
  }
  await assertNoFiles(read, folders);
  throw new DataError(tried[0]!, undefined, `no such file (tried ${tried.join(", ")})`, remedy);
}

/** Where nothing was found: @throws DataError if one of the folders is a file */
export async function assertNoFiles(read: ReadFile, folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    const isFile = await read(folder).then(
      () => true,
      () => false,
    );
    if (isFile)
      throw new DataError(folder, undefined, "it is a file, not a folder", "give the folder it is in");
  }
}

/**
 * What `get` gives for the path; undefined where nothing of that name exists.
 * @throws DataError when it exists but cannot be read
 */
export async function ifThere<T>(path: string, get: (path: string) => Promise<T>): Promise<T | undefined> {
  try {
    return await get(path);
  } catch (cause) {
    const { code, name, message } = (cause ?? {}) as { code?: unknown; name?: unknown; message?: unknown };
    if (code === "ENOENT" || code === "ENOTDIR" || name === "NotFound" || name === "NotFoundError") return;
    throw new DataError(path, undefined, `it cannot be read (${message ?? cause})`, "make it readable", {
      cause,
    });
  }
}
