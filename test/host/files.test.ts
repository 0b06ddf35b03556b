import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exists, listFolder, readFile, writeFile } from "../../src/host/files.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-files-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("writes whole files into new folders and reads them back", async () => {
  const path = join(folder, "a/b/c.bin");
  expect(await exists(path)).toBe(false);
  await writeFile(path, new Uint8Array([1, 2, 3]));
  await writeFile(pathToFileURL(path), new Uint8Array([4, 5]));
  expect([...(await readFile(path))]).toEqual([4, 5]);
  expect(await exists(pathToFileURL(path))).toBe(true);
  expect(await readdir(join(folder, "a/b"))).toEqual(["c.bin"]);
});

test("names the file and the reason", async () => {
  await expect(readFile(join(folder, "none"))).rejects.toThrow(/none: there is no such file/);
  await expect(readFile(folder)).rejects.toThrow(/it is a folder/);
  await writeFile(join(folder, "file"), "text");
  await expect(writeFile(join(folder, "file/below"), "text")).rejects.toThrow(/cannot write .*file\/below/);
  expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("lists a folder, sorted", async () => {
  await writeFile(join(folder, "list/b"), "");
  await writeFile(join(folder, "list/a/c"), "");
  expect(await listFolder(join(folder, "list"))).toEqual(["a", "b"]);
  expect(await listFolder(pathToFileURL(join(folder, "list")))).toEqual(["a", "b"]);
  const missing = await listFolder(join(folder, "none")).catch((error: unknown) => error);
  expect(missing).toMatchObject({ code: "ENOENT" });
  await expect(listFolder(join(folder, "list/b"))).rejects.toThrow(/cannot list .*list\/b: .*no folder/);
});
