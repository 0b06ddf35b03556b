import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fetchFile } from "../../src/cli/data.ts";
import { published } from "../../src/data/published.ts";
import { type FileServer, type Served, serveFiles } from "../host/file-server.ts";
import { hypergrad } from "./launcher.ts";

const files: Record<string, Served> = {};
let server: FileServer;
let folder: string;

beforeAll(async () => {
  server = await serveFiles(files);
  folder = await mkdtemp(join(tmpdir(), "hypergrad-data-"));
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  for (const name of Object.keys(files)) delete files[name];
  server.requests.length = 0;
  await rm(join(folder, "data"), { recursive: true, force: true });
});

const data = (...args: string[]) => hypergrad(["data", ...args], { cwd: folder });

interface Listed {
  sets: { name: string; bytes: number; state: string; folder: string }[];
}

describe("data list", () => {
  test("says what can be fetched and what is there", async () => {
    const mnist = join(folder, "data/mnist");
    await mkdir(mnist, { recursive: true });
    for (const { name, bytes } of published.mnist.files) await sized(join(mnist, name), bytes);
    const fashion = join(folder, "data/fashion-mnist");
    await mkdir(fashion);
    for (const { name } of published["fashion-mnist"].files) await sized(join(fashion, name), 5);
    const cifar10 = join(folder, "data/cifar10");
    await mkdir(cifar10);
    await sized(join(cifar10, "cifar-10-binary.tar.gz.part"), 5);
    const cifar100 = join(folder, "data/cifar100");
    await mkdir(cifar100);
    for (const { name, bytes } of published.cifar100.files[0]!.holds!)
      await sized(join(cifar100, name), bytes);

    const { code, stdout } = await data("list", "--json");
    expect(code).toBe(0);
    const { sets } = JSON.parse(stdout) as Listed;
    expect(sets.map(({ name, state }) => [name, state])).toEqual([
      ["mnist", "there"],
      ["fashion-mnist", "differs"],
      ["omniglot", "not there"],
      ["cifar10", "in part"],
      ["cifar100", "there"],
    ]);
    expect(sets[0]).toMatchObject({ bytes: 11_594_722, folder: "data/mnist" });
    const text = await data("list", "--data", "elsewhere");
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^omniglot +1623 handwritten.* 15\.2 MiB +not there$/m);
  });
});

describe("data fetch", () => {
  test("without a network says what to put where, keeps nothing, and ends with 1", async () => {
    const dead = await serveFiles({});
    dead.close();
    const { code, stdout, stderr } = await data("fetch", "cifar10", "--mirror", dead.url);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain(`${dead.url}/cifar-10-binary.tar.gz: `);
    expect(stderr).toContain("ECONNREFUSED");
    expect(stderr).toContain(
      "put cifar-10-binary.tar.gz (170052171 bytes, SHA-256 c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd) by hand at data/cifar10/cifar-10-binary.tar.gz",
    );
    expect(await readdir(join(folder, "data/cifar10"))).toEqual([]);
  });

  test("lets no wrong file through, from a mirror or put there by hand", async () => {
    const [first] = published.mnist.files;
    files[first!.name] = { bytes: new Uint8Array(first!.bytes) };
    const fetched = await data("fetch", "mnist", "--mirror", `${server.url}/`);
    expect(fetched.code).toBe(1);
    expect(fetched.stderr).toContain("another checksum");
    expect(await readdir(join(folder, "data/mnist"))).toEqual([]);
    await sized(join(folder, "data/mnist", first!.name), first!.bytes);
    const given = await data("fetch", "mnist", "--mirror", server.url);
    expect(given.code).toBe(1);
    expect(given.stderr).toContain(`data/mnist/${first!.name} is there but is not the published file`);
  });

  test("names the right set for a wrong one, and lists its flags", async () => {
    const wrong = await data("fetch", "mnits");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("mnist");
    expect((await data("fetch")).code).toBe(2);
    expect((await data()).code).toBe(2);
    const help = await data("--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(/fetch[\s\S]*list/);
    expect((await data("fetch", "--help")).stdout).toContain("--mirror");
  });
});

describe("an archive", () => {
  const inside = { "first.bin": new Uint8Array(700).fill(1), "second.bin": new Uint8Array(512).fill(2) };
  const archive = (names: (keyof typeof inside)[]) =>
    new Uint8Array(
      gzipSync(
        Buffer.concat([
          tarEntry("set/", "5", new Uint8Array()),
          tarEntry("PaxHeader", "x", new TextEncoder().encode("20 mtime=1234567890\n")),
          tarEntry("set/readme.html", "0", new Uint8Array(5)),
          ...names.map((name) => tarEntry(`set/${name}`, "0", inside[name])),
          new Uint8Array(1024),
        ]),
      ),
    );
  const described = (bytes: Uint8Array) => ({
    name: "set.tar.gz",
    bytes: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    urls: [`${server.url}/set.tar.gz`],
    holds: Object.entries(inside).map(([name, { length }]) => ({ name, bytes: length })),
  });

  test("is unpacked into the set's folder and removed", async () => {
    const into = join(folder, "data/set");
    const bytes = archive(["second.bin", "first.bin"]);
    files["set.tar.gz"] = { bytes };
    expect(await fetchFile(described(bytes), into)).toBe(true);
    expect(await readdir(into)).toEqual(["first.bin", "second.bin"]);
    expect(new Uint8Array(await readFile(join(into, "first.bin")))).toEqual(inside["first.bin"]);
    expect(await fetchFile(described(bytes), into)).toBe(false);
    expect(server.requests).toHaveLength(1);
    // Put there by hand, after one of its files was lost.
    await rm(join(into, "first.bin"));
    await writeFile(join(into, "set.tar.gz"), bytes);
    expect(await fetchFile(described(bytes), into)).toBe(true);
    expect(await readdir(into)).toEqual(["first.bin", "second.bin"]);
    expect(server.requests).toHaveLength(1);
  });

  test("that lacks a file is said to", async () => {
    const bytes = archive(["first.bin"]);
    files["set.tar.gz"] = { bytes };
    await expect(fetchFile(described(bytes), join(folder, "data/set"))).rejects.toThrow(
      "does not hold second.bin",
    );
  });
});

test("every published file has an address of its own name, a length and a checksum", () => {
  for (const { files } of Object.values(published)) {
    for (const { name, bytes, sha256, urls } of files) {
      expect(bytes).toBeGreaterThan(0);
      expect(sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(urls.length).toBeGreaterThanOrEqual(2);
      for (const url of urls) expect(new URL(url).pathname.endsWith(`/${name}`)).toBe(true);
    }
  }
});

const SHARED = fileURLToPath(new URL("../../../shared/data/", import.meta.url));
const present = existsSync(join(SHARED, "mnist"));
if (!present) console.warn(`skipped: the published MNIST files are not at ${SHARED}`);

test.skipIf(!present)("fetches a real set from a mirror and finds it there the next time", async () => {
  const names = published.mnist.files.map(({ name }) => name);
  for (const name of names) files[name] = { bytes: await readFile(join(SHARED, "mnist", name)) };
  files[names[0]!]!.breakAfter = 9_000_000;
  const broken = await data("fetch", "mnist", "--mirror", server.url);
  expect(broken.code).toBe(1);
  expect(await readdir(join(folder, "data/mnist"))).toEqual([`${names[0]}.part`]);
  const { size: kept } = await stat(join(folder, "data/mnist", `${names[0]}.part`));
  expect(kept).toBeGreaterThan(0);
  delete files[names[0]!]!.breakAfter;
  const { code, stdout, stderr } = await data("fetch", "mnist", "--mirror", server.url);
  expect(stderr).toContain("train-images-idx3-ubyte.gz, MB 9.9/9.9");
  expect(code).toBe(0);
  expect(server.requests[1]).toBe(`GET /${names[0]} bytes=${kept}-`);
  expect(stdout.trimEnd().split("\n")).toEqual(names.map((name) => `data/mnist/${name}: fetched`));
  for (const name of names) {
    expect((await readFile(join(folder, "data/mnist", name))).equals(files[name]!.bytes)).toBe(true);
  }
  server.requests.length = 0;
  const again = await data("fetch", "mnist", "--mirror", server.url);
  expect(again.stdout).toContain(`data/mnist/${names[3]}: already there`);
  expect(server.requests).toEqual([]);
});

async function sized(path: string, bytes: number): Promise<void> {
  await writeFile(path, "");
  await truncate(path, bytes);
}

/** A header with the fields that count, in the GNU way, and the contents in whole blocks. */
function tarEntry(name: string, kind: string, contents: Uint8Array): Uint8Array {
  const entry = new Uint8Array(512 * (1 + Math.ceil(contents.length / 512)));
  const put = (at: number, text: string) => entry.set(new TextEncoder().encode(text), at);
  put(0, name);
  put(100, "0000644");
  put(124, contents.length.toString(8).padStart(11, "0"));
  put(156, kind);
  put(257, "ustar  ");
  entry.set(contents, 512);
  return entry;
}
