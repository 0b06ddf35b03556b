import { execFileSync, spawn } from "node:child_process";
import { lstat, mkdir, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  appendFile,
  assertWritable,
  exists,
  listFolder,
  readFile,
  setAside,
  writeFile,
} from "../../src/host/files.ts";

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

test("says beforehand what cannot be written, and leaves nothing but the folder", async () => {
  await assertWritable(join(folder, "later/run.npz"));
  expect(await readdir(join(folder, "later"))).toEqual([]);
  await writeFile(join(folder, "later/run.npz"), "kept");
  await assertWritable(join(folder, "later/run.npz"));
  expect(await text(join(folder, "later/run.npz"))).toBe("kept");
  await expect(assertWritable(join(folder, "later"))).rejects.toThrow(/cannot write .*later: it is a folder/);
  await expect(assertWritable(join(folder, "later/run.npz/x"))).rejects.toThrow(/no folder/);
  const long = join(folder, "x".repeat(300));
  await expect(assertWritable(long)).rejects.toThrow(/cannot write .*xxx: its name is too long/);
});

test.skipIf(process.platform !== "linux")("an end where no file and no folder can be made", async () => {
  for (const path of ["/proc/x", "/proc/x/deep/file", "/sys/x", "/sys/x/deep/file"]) {
    for (const write of [
      assertWritable,
      (name: string) => writeFile(name, ""),
      (name: string) => appendFile(name, ""),
    ]) {
      await expect(write(path)).rejects.toThrow(
        /^cannot write \/(proc|sys)\/.*: (nothing can be made there|permission denied|the file system is read-only)$/,
      );
    }
  }
  for (const device of ["/dev/null", "/dev/stdout"]) await assertWritable(device);
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

const text = async (path: string) => new TextDecoder().decode(await readFile(path));

test("a link stays, and what it leads to is written, also where that is not there yet", async () => {
  const links = join(folder, "links");
  await mkdir(links);
  const link = (name: string, target: string) => symlink(target, join(links, name));
  await writeFile(join(folder, "disk/file"), "old");
  await link("there", join(folder, "disk/file"));
  await link("later", "../disk/new/later");
  await link("chain", "later-still");
  await link("later-still", join(folder, "disk/still"));
  await link("appended", "../disk/more/appended");
  await link("a", "b");
  await link("b", "a");
  await writeFile(join(links, "there"), "whole");
  await writeFile(join(links, "later"), "made");
  await writeFile(join(links, "chain"), "through two");
  await appendFile(join(links, "appended"), "first ");
  await appendFile(join(links, "appended"), "second");
  await expect(writeFile(join(links, "a"), "text")).rejects.toThrow(/cannot write .*links\/a: .* circle/);
  expect(await text(join(folder, "disk/file"))).toBe("whole");
  expect(await text(join(folder, "disk/new/later"))).toBe("made");
  expect(await text(join(folder, "disk/still"))).toBe("through two");
  expect(await text(join(folder, "disk/more/appended"))).toBe("first second");
  for (const name of await readdir(links))
    expect((await lstat(join(links, name))).isSymbolicLink(), name).toBe(true);
});

test.skipIf(process.platform === "win32")("what goes to a device or a pipe leaves it one", async () => {
  await writeFile("/dev/null", "text");
  await appendFile("/dev/null", "text");
  expect((await stat("/dev/null")).isCharacterDevice()).toBe(true);
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  for (const write of [writeFile, appendFile]) {
    const reader = spawn("cat", [pipe]);
    let heard = "";
    reader.stdout.on("data", (part) => {
      heard += part;
    });
    const ended = new Promise((resolve) => reader.once("close", resolve));
    await write(pipe, "through the pipe");
    await ended;
    expect(heard).toBe("through the pipe");
  }
  expect(await setAside(pipe)).toBeUndefined();
  expect((await stat(pipe)).isFIFO()).toBe(true);
  expect((await readdir(folder)).filter((name) => name.includes("pipe"))).toEqual(["pipe"]);
});

test("a file set aside keeps its ending, and a link still leads where it did", async () => {
  const path = join(folder, "aside/run.npz");
  expect(await setAside(path)).toBeUndefined();
  await writeFile(path, "first");
  expect(await setAside(path)).toBe(join(folder, "aside/run-before.npz"));
  await writeFile(path, "second");
  await symlink(path, join(folder, "run-link.npz"));
  expect(await setAside(join(folder, "run-link.npz"))).toBe(join(folder, "aside/run-before.npz"));
  expect(await text(join(folder, "aside/run-before.npz"))).toBe("second");
  await writeFile(join(folder, "run-link.npz"), "third");
  expect(await text(path)).toBe("third");
});
