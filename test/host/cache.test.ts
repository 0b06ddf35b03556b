import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { untar } from "../../src/host/archive.ts";
import { cachedFolder, cacheFolder } from "../../src/host/cache.ts";

let base: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "hypergrad-cache-"));
  vi.stubEnv("XDG_CACHE_HOME", base);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await chmod(base, 0o700);
  await rm(base, { recursive: true });
});

test("the cache is where XDG_CACHE_HOME says", async () => {
  expect(await cacheFolder()).toBe(join(base, "hypergrad"));
});

test("falls back when that cannot be a folder", async () => {
  await writeFile(join(base, "file"), "");
  vi.stubEnv("XDG_CACHE_HOME", join(base, "file"));
  vi.stubEnv("HOME", join(base, "file"));
  expect(await cacheFolder()).toMatch(new RegExp(`^${tmpdir()}/hypergrad-`));
});

test("two fills at once leave one whole folder and nothing else", async () => {
  const fill = async (folder: string) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await writeFile(join(folder, "file"), "whole");
  };
  const folders = await Promise.all([cachedFolder("thing-1", fill), cachedFolder("thing-1", fill)]);
  expect(folders[0]).toBe(folders[1]);
  expect(await readFile(join(folders[0], "file"), "utf8")).toBe("whole");
  expect(await readdir(join(base, "hypergrad"))).toEqual(["thing-1"]);
});

test("a failed fill leaves nothing", async () => {
  const failed = cachedFolder("thing-2", () => Promise.reject(new Error("disk full")));
  await expect(failed).rejects.toThrow("disk full");
  expect(await readdir(join(base, "hypergrad"))).toEqual([]);
});

function tar(name: string, body: string, kind = "0"): Uint8Array {
  const bytes = new Uint8Array(512 + Math.ceil(body.length / 512) * 512 + 1024);
  const put = (at: number, text: string) => bytes.set(new TextEncoder().encode(text), at);
  put(0, name);
  put(100, "0000644\0");
  put(124, body.length.toString(8).padStart(11, "0"));
  put(156, kind);
  put(257, "ustar");
  put(512, body);
  return bytes;
}

test("untar reads files, and refuses what it does not know", () => {
  const [file] = [...untar(tar("a/b.txt", "hello"))];
  expect(file).toMatchObject({ name: "a/b.txt", mode: 0o644 });
  expect(new TextDecoder().decode(file!.bytes)).toBe("hello");
  expect([...untar(tar("folder/", "", "5"))]).toEqual([]);
  expect(() => [...untar(tar("../up", "x"))]).toThrow("unsafe name");
  expect(() => [...untar(tar("link", "", "2"))]).toThrow("unknown kind");
  expect(() => [...untar(tar("a", "x".repeat(600)).subarray(0, 700))]).toThrow("cut short");
});
