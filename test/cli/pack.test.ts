import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Ended, type HypergradOptions, hypergrad, noSystemDriver, root, start } from "./launcher.ts";

const script = join(root, "test/cli/fixtures/stretch.ts");
let work: string;
let folder: string;
let packing: Ended;

// Packed in one place and used in another, with a PATH that leads to Node alone.
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "hypergrad-pack-"));
  for (const name of ["bin", "cwd", "data"]) await mkdir(join(work, name));
  await symlink(process.execPath, join(work, "bin/node"));
  await writeFile(join(work, "data/numbers.txt"), "4 5 6\n");
  packing = await hypergrad(["pack", join(work, "here"), script, "--data", join(work, "data")]);
  folder = join(work, "there");
  await rename(join(work, "here"), folder);
});

afterAll(() => rm(work, { recursive: true }));

/** An environment that holds nothing of this one's, on a machine without a Vulkan driver. */
const env = () => [
  ...["-i", `PATH=${join(work, "bin")}`],
  ...Object.entries(noSystemDriver).map(([name, value]) => `${name}=${value}`),
];
const packed = (args: readonly string[], options: HypergradOptions = {}) =>
  start("/usr/bin/env", [...env(), join(folder, "hypergrad"), ...args], {
    cwd: join(work, "cwd"),
    ...options,
  });

const lastLine = (stdout: string) => JSON.parse(stdout.trim().split("\n").at(-1)!);

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

describe("what is packed", () => {
  test("says its size", () => {
    expect(packing).toMatchObject({ code: 0, stderr: "" });
    expect(packing.stdout).toMatch(/^programs +\d\.\d MiB$/m);
    expect(packing.stdout).toMatch(/^Dawn +\d+\.\d MiB$/m);
    const [, bytes] = /^(\d+) bytes for linux-x64; scripts: .*\bstretch\b.*\btoy\b/m.exec(packing.stdout)!;
    console.log(`packed: ${bytes} bytes`);
    expect(Number(bytes)).toBeGreaterThan(20e6);
    expect(Number(bytes)).toBeLessThan(35e6);
  });

  test("names no file of the checkout, and imports nothing from outside", async () => {
    // vega asks for it and does without.
    const known = new Set([...builtinModules, "canvas"]);
    const names = await readdir(folder, { recursive: true });
    const modules = names.filter((name) => name.endsWith(".mjs"));
    expect(modules.length).toBeGreaterThan(20);
    for (const name of modules) {
      const text = await readFile(join(folder, name), "utf8");
      expect(text.includes(root), name).toBe(false);
      const imports = text.matchAll(/^(?:import |export |\} ).*?from "([^"]+)";$|\bimport\("([^"]+)"\)/gm);
      for (const [, fixed, dynamic] of imports) {
        const specifier = (fixed ?? dynamic)!;
        const isPacked = specifier.startsWith(".");
        expect(isPacked || known.has(specifier.replace(/^node:/, "")), `${name}: ${specifier}`).toBe(true);
      }
    }
    expect(names.some((name) => name.includes("node_modules"))).toBe(false);
  });

  test("has the data, and the licences of what it carries", async () => {
    expect(await readFile(join(folder, "data/numbers.txt"), "utf8")).toBe("4 5 6\n");
    const licenses = await readFile(join(folder, "LICENSES.txt"), "utf8");
    for (const name of ["hypergrad", "webgpu", "@optique/core", "vega", "@sparticuz/chromium"]) {
      expect(licenses).toMatch(new RegExp(`^${name} \\d`, "m"));
    }
  });
});

describe("a packed folder, with nothing else", () => {
  test("doctor proves the packed SwiftShader", async () => {
    const { code, stdout } = await packed(["doctor", "--json"]);
    expect(lastLine(stdout)).toMatchObject({ ok: true, kind: "swiftshader", runtime: "node" });
    expect(code).toBe(0);
  });

  test("gives the bits that the checkout gives", async () => {
    const flags = ["run", "toy", "--outer-steps", "1", "--json"];
    const [there, here] = [await packed(flags), await hypergrad(flags, { env: noSystemDriver })];
    expect(there.stdout).toBe(here.stdout);
    expect(lastLine(there.stdout).loss).toHaveLength(2);
    expect(there.code).toBe(0);
  });

  test("a long run ends on SIGTERM with its checkpoint and 143", async () => {
    const sizes = ["--train", "20", "--val", "20", "--inner-steps", "2", "--outer-steps", "1000000"];
    let sent = false;
    const { code, stderr } = await packed(["run", "hypercleaning", ...sizes], {
      onNote(text, child) {
        if (sent || !text.includes("outer step")) return;
        sent = true;
        child.kill("SIGTERM");
      },
    });
    expect(stderr).toMatch(/stopped after outer step \d+: --resume goes on/);
    expect(code).toBe(143);
    expect(await isThere(join(work, "cwd/out/hypercleaning-checkpoint.npz"))).toBe(true);
  });

  test("the user's script runs, and is compared, checked and profiled without being run", async () => {
    expect(await packed(["run", "stretch"])).toMatchObject({ code: 0, stdout: "the experiment\n" });
    const compared = await packed([
      ...["compare", "stretch", "--estimators", "rmd,t1t2", "--repeats", "1", "--json", "--steps", "4"],
    ]);
    expect(compared.stdout).toMatch(/^imported\n\{/);
    expect(lastLine(compared.stdout)).toMatchObject({ problem: { steps: 4 }, reference: { name: "rmd" } });
    const checked = await packed(["check", "stretch", "--json", "--lie"]);
    expect(lastLine(checked.stdout)).toMatchObject({ verdict: "disagrees" });
    const profiled = await packed(["profile", "stretch", "--samples", "1", "--json"]);
    expect(lastLine(profiled.stdout)).toMatchObject({ estimators: [{ estimator: "rmd" }] });
    expect([compared.code, checked.code, profiled.code]).toEqual([0, 1, 0]);
  });

  test("bench measures", async () => {
    const { code, stdout } = await packed(["bench", "kernels", "--quick", "--only", "dot", "--json"]);
    expect(lastLine(stdout)).toMatchObject({ bench: "kernels", versions: { webgpu: expect.any(String) } });
    expect(code).toBe(0);
  });

  test.each([
    ["another runtime", ["run", "toy", "--runtime", "deno"], "runs in Node alone"],
    ["doctor elsewhere", ["doctor", "--runtime", "browser"], "runs in Node alone"],
    ["what was not packed", ["run", script], "is not packed"],
    ["other libraries", ["bench", "peers"], "is not packed"],
    ["another pack", ["pack", "again"], "cannot pack"],
    ["a script that is not there", ["run", "nothing"], "scripts/toy.mjs"],
  ])("refuses %s", async (_what, args, says) => {
    const { code, stderr } = await packed(args);
    expect(stderr).toContain(says);
    expect(code).toBe(2);
  });
});

describe("pack refuses", () => {
  const refused = async (args: readonly string[]) => {
    const { code, stderr } = await hypergrad(["pack", ...args]);
    expect(code).toBe(2);
    return stderr;
  };

  test("a folder that is not empty, and one that is a package", async () => {
    expect(await refused([folder])).toContain("--force");
    expect(await refused([root, "--force"])).toContain("a package of its own");
  });

  test.each([
    ["a platform that Dawn has not", ["--platform", "amiga"], "linux-x64"],
    ["a Node of another machine", ["--platform", "win32-arm64", "--node"], "leave it away"],
    ["data that is not there", ["--data", "/nowhere"], "no such folder"],
    ["a script that is not there", ["nothing.ts"], "there is no file"],
  ])("%s, and writes nothing", async (_what, args, says) => {
    const target = join(work, "refused");
    expect(await refused([target, ...args])).toContain(says);
    expect(await isThere(target)).toBe(false);
  });
});

test("--force replaces what was packed, and keeps the rest", async () => {
  await writeFile(join(folder, "notes.txt"), "mine");
  const { code } = await hypergrad(["pack", folder, "--force", "--no-swiftshader"]);
  expect(code).toBe(0);
  expect(await readFile(join(folder, "notes.txt"), "utf8")).toBe("mine");
  expect(await isThere(join(folder, "data/numbers.txt"))).toBe(true);
  expect(await readdir(join(folder, "scripts"))).not.toContain("stretch.mjs");
  const { code: status, stderr } = await packed(["doctor"]);
  expect(stderr).toContain("no adapter for WebGPU");
  expect(status).toBe(1);
});
