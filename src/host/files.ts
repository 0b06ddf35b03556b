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
 * missing folders.
 *
 * @throws Error naming the path when it cannot be written
 */
export async function writeFile(path: string | URL, bytes: Uint8Array | string): Promise<void> {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  if (runtime() === "browser") return sendOverHttp("POST", path, data);
  const { mkdir, rename, rm, writeFile } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  const target = await localPath(path);
  const temporary = `${target}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.tmp`;
  try {
    await mkdir(dirname(target), { recursive: true });
    await writeFile(temporary, data, { flush: true });
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw explain("write", path, error);
  }
}

/**
 * Adds to the end of a file; makes it, and missing folders, when it is not there.
 *
 * @throws Error naming the path when it cannot be written
 */
export async function appendFile(path: string | URL, text: string): Promise<void> {
  if (runtime() === "browser") return sendOverHttp("PATCH", path, new TextEncoder().encode(text));
  const { appendFile, mkdir } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  try {
    await mkdir(dirname(await localPath(path)), { recursive: true });
    await appendFile(path, text);
  } catch (error) {
    throw explain("write", path, error);
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

async function localPath(path: string | URL): Promise<string> {
  if (typeof path === "string") return path;
  const { fileURLToPath } = await import("node:url");
  return fileURLToPath(path);
}

function explain(verb: string, path: string | URL, error: unknown): Error {
  const code = (error as { code?: unknown }).code;
  const reasons: Record<string, string> = {
    ENOENT: "there is no such file",
    EACCES: "permission denied",
    EISDIR: "it is a folder",
    ENOTDIR: "it, or a part of its path, is no folder",
    ENOSPC: "the disk is full",
    EROFS: "the file system is read-only",
  };
  const reason = (typeof code === "string" && reasons[code]) || String(error);
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

async function sendOverHttp(method: "POST" | "PATCH", path: string | URL, bytes: Uint8Array): Promise<void> {
  const response = await fetch(address(path), { method, body: bytes as Uint8Array<ArrayBuffer> });
  if (!response.ok) throw new Error(`cannot write ${path}: ${await response.text()}`);
}
