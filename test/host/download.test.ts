import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DownloadError, download } from "../../src/host/download.ts";
import { type FileServer, type Served, serveFiles } from "./file-server.ts";

const GOOD = Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) % 251);
const sha256 = createHash("sha256").update(GOOD).digest("hex");
const wrong = GOOD.map((byte, i) => (i === 70_000 ? byte ^ 1 : byte));

const files: Record<string, Served> = {};
let server: FileServer;
let folder: string;
let path: string;

beforeAll(async () => {
  server = await serveFiles(files);
});
afterAll(() => server.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-download-"));
  path = join(folder, "deep/file.bin");
  for (const name of Object.keys(files)) delete files[name];
  Object.assign(files, {
    good: { bytes: GOOD },
    breaking: { bytes: GOOD, breakAfter: 30_000 },
    wrong: { bytes: wrong },
    short: { bytes: GOOD.subarray(0, 500) },
    long: { bytes: Uint8Array.from([...GOOD, 1]) },
    rangeless: { bytes: GOOD, withoutRanges: true },
    silent: { bytes: GOOD, silent: true },
  });
  server.requests.length = 0;
});
afterEach(() => rm(folder, { recursive: true }));

const get = (names: readonly string[], onBytes?: (bytes: number) => void, patience?: number) =>
  download(
    {
      path,
      bytes: GOOD.length,
      sha256,
      urls: names.map((name) => (name.includes(":") ? name : `${server.url}/${name}`)),
    },
    onBytes,
    patience,
  );

async function attemptsOf(downloading: Promise<void>): Promise<readonly string[]> {
  const outcome = await downloading.catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(DownloadError);
  return (outcome as DownloadError).attempts;
}

const inFolder = () => readdir(join(folder, "deep"));
const expectWhole = async () => {
  expect((await readFile(path)).equals(GOOD)).toBe(true);
  expect(await inFolder()).toEqual(["file.bin"]);
};

async function leave(bytes: Uint8Array): Promise<void> {
  await expect(get(["none"])).rejects.toThrow("HTTP 404");
  await writeFile(`${path}.part`, bytes);
  server.requests.length = 0;
}

describe("download", () => {
  it("brings a file whole and says how far it is", async () => {
    const seen: number[] = [];
    await get(["good"], (bytes) => seen.push(bytes));
    await expectWhole();
    expect(seen.at(-1)).toBe(GOOD.length);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it("goes on where an earlier attempt ended, with a range request", async () => {
    await leave(GOOD.subarray(0, 60_000));
    const seen: number[] = [];
    await get(["good"], (bytes) => seen.push(bytes));
    await expectWhole();
    expect(server.requests).toEqual(["GET /good bytes=60000-"]);
    expect(seen[0]).toBeGreaterThan(60_000);
  });

  it("keeps what came before the connection broke, and goes on at the next place", async () => {
    const attempts = await attemptsOf(get(["breaking"]));
    expect(attempts).toHaveLength(1);
    expect(await inFolder()).toEqual(["file.bin.part"]);
    const { size: kept } = await stat(`${path}.part`);
    expect(kept).toBeGreaterThan(0);
    await get(["breaking", "good"]);
    await expectWhole();
    expect(server.requests.slice(0, 2)).toEqual(["GET /breaking", `GET /breaking bytes=${kept}-`]);
    const from = Number(/^GET \/good bytes=(\d+)-$/.exec(server.requests[2]!)![1]);
    expect(from).toBeGreaterThan(kept);
  });

  it("starts again where a server knows no ranges", async () => {
    await leave(wrong.subarray(0, 80_000));
    await get(["rangeless"]);
    await expectWhole();
  });

  it("starts again when what was left is not the beginning of the file", async () => {
    await leave(wrong.subarray(0, 80_000));
    await get(["good"]);
    await expectWhole();
    expect(server.requests).toEqual(["GET /good bytes=80000-", "GET /good"]);
  });

  it("needs no server for a part that is whole, and leaves nothing of one that is too long", async () => {
    await leave(GOOD);
    await get(["none"]);
    await expectWhole();
    await rm(path);
    await writeFile(`${path}.part`, new Uint8Array(GOOD.length + 5));
    await get(["good"]);
    await expectWhole();
  });

  it("never lets a wrong file through: the next place gets its turn", async () => {
    await get(["wrong", "short", "long", "none", "good"]);
    await expectWhole();
    await rm(path);
    const attempts = await attemptsOf(get(["wrong", "long", "none", "short"]));
    expect(attempts.map((attempt) => attempt.replace(/^\S+\/(\w+): /, "$1 "))).toEqual([
      expect.stringMatching(/^wrong the file has another checksum \(SHA-256 [0-9a-f]{64}\)$/),
      "long the file is longer than 100000 bytes",
      "none HTTP 404 Not Found",
      "short the data ends after 500 of 100000 bytes",
    ]);
    expect(await inFolder()).toEqual(["file.bin.part"]);
  });

  it("names each place and why it did not answer", async () => {
    const dead = await serveFiles({});
    dead.close();
    const attempts = await attemptsOf(get([`${dead.url}/x`, "http://no-such-host.invalid/x"]));
    expect(attempts[0]).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/x: .*ECONNREFUSED/);
    expect(attempts[1]).toMatch(/no-such-host\.invalid\/x: .*(ENOTFOUND|EAI_AGAIN)/);
  });

  it("gives up a place that sends nothing", async () => {
    await get(["silent", "good"], undefined, 0.2);
    await expectWhole();
    const attempts = await attemptsOf(
      download({ path: join(folder, "x"), bytes: 5, sha256, urls: [`${server.url}/silent`] }, undefined, 0.2),
    );
    expect(attempts[0]).toMatch(/silent: no data for 0\.2 s$/);
  });

  it("does not blame the servers for the disk", async () => {
    await writeFile(join(folder, "deep"), "a file in the place of a folder");
    const outcome = await get(["good"]).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(Error);
    expect(outcome).not.toBeInstanceOf(DownloadError);
    expect(server.requests).toEqual([]);
  });
});
