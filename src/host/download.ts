export interface Download {
  /** Where the file goes; what has come so far waits beside it under the name `path.part`. */
  path: string;
  bytes: number;
  /** In hexadecimal. */
  sha256: string;
  /** Places that have the file, tried in turn. */
  urls: readonly string[];
}

/** No place gave the file. */
export class DownloadError extends Error {
  override name = "DownloadError";
  /** What came of each place. */
  readonly attempts: readonly string[];

  constructor(path: string, attempts: readonly string[]) {
    super(`${path} cannot be downloaded:\n${attempts.map((attempt) => `  ${attempt}`).join("\n")}`);
    this.attempts = attempts;
  }
}

/**
 * Downloads a file; it appears under its name only when it is whole and has the right checksum. What an
 * earlier attempt left is continued with an HTTP range request, at another place too. Node and Deno only.
 *
 * @param onBytes called with the bytes there so far
 * @param patience seconds without data after which a place is given up
 * @throws DownloadError when no place gives the file; Error when it cannot be written
 */
export async function download(
  { path, bytes, sha256, urls }: Download,
  onBytes: (bytes: number) => void = () => {},
  patience = 30,
): Promise<void> {
  const { mkdir, rename, rm } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  const part = `${path}.part`;
  await mkdir(dirname(path), { recursive: true });
  const attempts: string[] = [];
  for (const url of urls) {
    let fromStart: boolean;
    do {
      fromStart = (await sizeOf(part)) === 0;
      const failure = await receive(url, part, bytes, onBytes, patience);
      if (failure !== undefined) {
        attempts.push(`${url}: ${failure}`);
        break;
      }
      const found = await checksum(part);
      if (found === sha256) return rename(part, path);
      await rm(part);
      if (fromStart) attempts.push(`${url}: the file has another checksum (SHA-256 ${found})`);
      // What was left of an earlier attempt may have been the wrong part: once more from the start.
    } while (!fromStart);
  }
  throw new DownloadError(path, attempts);
}

/** SHA-256 of a file, in hexadecimal. Node and Deno only. */
export async function checksum(path: string): Promise<string> {
  const { createHash } = await import("node:crypto");
  const { createReadStream } = await import("node:fs");
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

/** Bytes of a file, 0 when there is none. */
async function sizeOf(path: string): Promise<number> {
  const { stat } = await import("node:fs/promises");
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Brings `part` to its full length. @returns what went wrong at that place */
async function receive(
  url: string,
  part: string,
  bytes: number,
  onBytes: (bytes: number) => void,
  patience: number,
): Promise<string | undefined> {
  const { open } = await import("node:fs/promises");
  let there = await sizeOf(part);
  if (there === bytes) return undefined;
  if (there > bytes) there = 0;

  const watch = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => watch.abort(new Error(`no data for ${patience} s`)), 1000 * patience);
  };
  alive();
  try {
    // The bytes as they lie there: some servers announce a .gz file as a compressed transfer.
    const headers = { "accept-encoding": "identity", ...(there > 0 && { range: `bytes=${there}-` }) };
    const response = await fetch(url, { headers, signal: watch.signal });
    if (!response.ok || !response.body) return `HTTP ${response.status} ${response.statusText}`.trimEnd();
    if (response.status !== 206) there = 0;
    else if (!response.headers.get("content-range")?.startsWith(`bytes ${there}-`)) {
      return "the server sends another range than it was asked for";
    }
    const file = await open(part, there > 0 ? "a" : "w");
    try {
      for await (const chunk of response.body) {
        alive();
        if (there + chunk.length > bytes) {
          await file.truncate(0);
          return `the file is longer than ${bytes} bytes`;
        }
        await file.writeFile(chunk);
        there += chunk.length;
        onBytes(there);
      }
    } finally {
      await file.close();
    }
    return there < bytes ? `the data ends after ${there} of ${bytes} bytes` : undefined;
  } catch (error) {
    if (isDiskError(error)) throw error;
    return reasonOf(watch.signal.aborted ? watch.signal.reason : error);
  } finally {
    clearTimeout(timer);
    watch.abort();
  }
}

/** Errors of files carry a path or a call; those of connections are wrapped by fetch. */
function isDiskError(error: unknown): boolean {
  const { code, syscall, cause } = (error ?? {}) as { code?: string; syscall?: string; cause?: unknown };
  return code !== undefined && syscall !== undefined && cause === undefined;
}

/** fetch says "fetch failed" and keeps the reason in `cause`, which may be several errors without a message. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause) return reasonOf(error.cause);
  return error.message || (error as { code?: string }).code || error.name;
}
