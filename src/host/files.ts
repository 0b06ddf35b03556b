import { realPath } from "./realpath.ts";
import { runtime } from "./runtime.ts";

/**
 * The bytes of a file. Relative paths start at the current folder, in a page at the folder that
 * `hypergrad run` was started in.
 *
 * @throws Error naming the path when the file is missing (then its `code` is "ENOENT") or may not be read
 */
export async function readFile(path: string | URL): Promise<Uint8Array<ArrayBuffer>> {
  if (runtime() === "browser") return readOverHttp(path);
  const { readFile } = await import("node:fs/promises");
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw explain("read", path, error);
  }
}

/**
 * Writes a file whole or not at all (to a temporary name beside it, then renamed, once it is on the disk); makes
 * missing folders. A link stays, and what it leads to is written; a device or a pipe is written to as it is.
 *
 * @throws Error naming the path when it cannot be written
 */
export async function writeFile(path: string | URL, bytes: Uint8Array | string): Promise<void> {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  if (runtime() === "browser") {
    await sendOverHttp("POST", path, data);
    return;
  }
  const { rename, rm, writeFile } = await import("node:fs/promises");
  let temporary: string | undefined;
  try {
    const name = await localPath(path);
    if (await wroteToStream(name, data)) return;
    if (await isSpecial(name)) {
      await writeFile(name, data);
      return;
    }
    const target = await realPath(name);
    temporary = await beside(target);
    await writeFile(temporary, data, { flush: true });
    await rename(temporary, target);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true }).catch(() => {});
    throw explain("write", path, error);
  }
}

/**
 * Makes sure, before the work whose results go there, that `writeFile` can write a file; makes missing folders.
 *
 * @throws Error naming the path when it cannot be written
 */
export async function assertWritable(path: string): Promise<void> {
  if (runtime() === "browser") {
    const answer = await fetch(`${address(path)}?list`);
    if (answer.status === 403) throw new Error(`cannot write ${path}: ${await answer.text()}`);
    return;
  }
  if (Object.hasOwn(streams, path)) return;
  const { rm, stat, writeFile } = await import("node:fs/promises");
  try {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory()) throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
    if (found !== undefined && !found.isFile()) return;
    const temporary = await beside(await realPath(path));
    await writeFile(temporary, "");
    await rm(temporary);
  } catch (error) {
    throw explain("write", path, error);
  }
}

/**
 * Adds to the end of a file; makes it, and missing folders, when it is not there.
 *
 * @throws Error naming the path when it cannot be written
 */
export async function appendFile(path: string | URL, text: string): Promise<void> {
  const data = new TextEncoder().encode(text);
  if (runtime() === "browser") {
    await sendOverHttp("PATCH", path, data);
    return;
  }
  const { appendFile } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  try {
    const name = await localPath(path);
    if (await wroteToStream(name, data)) return;
    if (!(await isSpecial(name))) await makeFolder(dirname(await realPath(name)));
    await appendFile(name, data);
  } catch (error) {
    throw explain("write", path, error);
  }
}

/**
 * Makes way for a new file: renames the one that is there to "NAME-before.EXT", in place of what had that name.
 *
 * @returns the new path; undefined where there is no file, or a device or a pipe, which stays
 * @throws Error naming the path when it may not be renamed
 */
export async function setAside(path: string): Promise<string | undefined> {
  if (runtime() === "browser") return (await sendOverHttp("MOVE", path)) || undefined;
  if (!(await isFile(path))) return undefined;
  const { lstat, rename } = await import("node:fs/promises");
  const { join, parse } = await import("node:path");
  try {
    const target = (await lstat(path)).isSymbolicLink() ? await realPath(path) : path;
    const { dir, name, ext } = parse(target);
    const aside = join(dir, `${name}-before${ext}`);
    await rename(target, aside);
    return aside;
  } catch (error) {
    throw explain("rename", path, error);
  }
}

/**
 * The names in a folder, sorted.
 *
 * @throws Error naming the path when there is no such folder (then its `code` is "ENOENT") or it may not be read
 */
export async function listFolder(path: string | URL): Promise<string[]> {
  if (runtime() === "browser") {
    return JSON.parse(new TextDecoder().decode(await readOverHttp(path, "?list"))) as string[];
  }
  const { readdir } = await import("node:fs/promises");
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    throw explain("list", path, error);
  }
}

/** Whether a file or folder of this name can be reached. */
export async function exists(path: string | URL): Promise<boolean> {
  if (runtime() === "browser") return (await fetch(address(path), { method: "HEAD" })).ok;
  const { access } = await import("node:fs/promises");
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Is what has this name no file: a device, a pipe or a folder? What is written there cannot be read back. */
export async function isSpecial(path: string): Promise<boolean> {
  return runtime() !== "browser" && (await exists(path)) && !(await isFile(path));
}

const streams = { "/dev/stdout": "stdout", "/dev/stderr": "stderr" } as const;

/** What goes to a standard stream by its name must come where that stream is, which may be the middle of a file. */
async function wroteToStream(name: string, data: Uint8Array): Promise<boolean> {
  if (!Object.hasOwn(streams, name)) return false;
  const stream = process[streams[name as keyof typeof streams]];
  await new Promise<void>((resolve, reject) =>
    stream.write(data, (error) => (error ? reject(error) : resolve())),
  );
  return true;
}

/** Is there a file of this name, or at the end of this link, and no device, pipe or folder? */
async function isFile(name: string): Promise<boolean> {
  const { stat } = await import("node:fs/promises");
  return stat(name).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** A new name beside this one, in a folder that is there. */
async function beside(target: string): Promise<string> {
  const { dirname } = await import("node:path");
  await makeFolder(dirname(target));
  return `${target}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.tmp`;
}

/** With those above it. Node's own recursion does not end where no folder can be made, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  if (await exists(path)) return;
  const { mkdir } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  await makeFolder(dirname(path));
  await mkdir(path).catch(async (error) => {
    if (!(await exists(path))) throw error;
  });
}

async function localPath(path: string | URL): Promise<string> {
  if (typeof path === "string") return path;
  const { fileURLToPath } = await import("node:url");
  return fileURLToPath(path);
}

function explain(verb: string, path: string | URL, error: unknown): Error {
  const code = (error as { code?: unknown }).code;
  const reasons: Record<string, string> = {
    ENOENT: verb === "write" ? "nothing can be made there" : "there is no such file",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EISDIR: "it is a folder",
    ENOTDIR: "it, or a part of its path, is no folder",
    EEXIST: "something else has its name",
    ENAMETOOLONG: "its name is too long",
    ENOSPC: "the disk is full",
    EDQUOT: "the quota of the disk is used up",
    EIO: "the disk reports an error",
    ELOOP: "its links lead in a circle",
    EROFS: "the file system is read-only",
  };
  const message = error instanceof Error ? error.message : String(error);
  const reason = (typeof code === "string" && reasons[code]) || message;
  return Object.assign(new Error(`cannot ${verb} ${path}: ${reason}`, { cause: error }), { code });
}

function address(path: string | URL): string {
  return `/files/${encodeURIComponent(String(path))}`;
}

async function readOverHttp(path: string | URL, query = ""): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(address(path) + query);
  if (!response.ok) {
    const code = response.status === 404 ? "ENOENT" : undefined;
    throw Object.assign(new Error(`cannot read ${path}: ${await response.text()}`), { code });
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** @returns the answer */
async function sendOverHttp(
  method: "POST" | "PATCH" | "MOVE",
  path: string | URL,
  bytes?: Uint8Array,
): Promise<string> {
  const body = bytes && { body: bytes as Uint8Array<ArrayBuffer> };
  const response = await fetch(address(path), { method, ...body });
  const answer = await response.text();
  if (!response.ok) throw new Error(`cannot ${method === "MOVE" ? "rename" : "write"} ${path}: ${answer}`);
  return answer;
}
