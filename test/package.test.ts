import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { untar } from "../src/host/archive.ts";
import { root, start } from "./cli/launcher.ts";

let project: string;

// A project with the packed package installed, made without a network: the package's files are unpacked, its
// dependencies linked to where they are. Development dependencies are out of its reach.
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "hypergrad-package-"));
  // npm hands --ignore-scripts on to what it runs, and this may run under it; the package is built all the same.
  const packing = await start("npm", ["pack", "--ignore-scripts=false", "--pack-destination", project]);
  expect(packing, packing.stderr).toMatchObject({ code: 0 });
  const tarball = await readFile(join(project, packing.stdout.trim().split("\n").at(-1)!));
  for (const { name, bytes, mode } of untar(gunzipSync(tarball))) {
    await put(name.replace(/^package\//, "node_modules/hypergrad/"), bytes, mode);
  }
  const lock = await json<{ packages: Record<string, { dev?: boolean }> }>("package-lock.json");
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    if (path.lastIndexOf("node_modules/") === 0 && !dev) await link(join(root, path), path);
  }
  const { bin } = await json<{ bin: { hypergrad: string } }>("package.json");
  await link(join("../hypergrad", bin.hypergrad), "node_modules/.bin/hypergrad");
  await put("package.json", '{ "private": true, "type": "module" }');
});

afterAll(() => rm(project, { recursive: true }));

async function json<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(join(root, name), "utf8")) as T;
}

async function put(name: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const path = join(project, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content, { mode });
}

async function link(target: string, name: string): Promise<void> {
  const path = join(project, name);
  await mkdir(dirname(path), { recursive: true });
  await symlink(target, path);
}

const inProject = (program: string, ...args: string[]) => start(program, args, { cwd: project });

test("is imported by plain Node and by Deno", async () => {
  await put("main.js", 'import { bilevel } from "hypergrad";\nconsole.log(typeof bilevel);\n');
  const expected = { code: 0, stdout: "function\n", stderr: "" };
  expect(await inProject(process.execPath, "main.js")).toEqual(expected);
  expect(await inProject(join(root, "node_modules/.bin/deno"), "run", "-A", "main.js")).toEqual(expected);
});

test.each(["NodeNext", "Bundler"])("has types, resolved as %s does", async (moduleResolution) => {
  const module = moduleResolution === "Bundler" ? "ESNext" : moduleResolution;
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "ES2023",
    types: [],
    module,
    moduleResolution,
  };
  await put("tsconfig.json", JSON.stringify({ compilerOptions, files: ["typed.ts"] }));
  const check = async (k: string) => {
    const source = `import { type Estimator, Gpu, krmd } from "hypergrad";
export const device: GPUDevice = (await Gpu.open()).device;
export const estimator: Estimator = krmd({ k: ${k} });\n`;
    await put("typed.ts", source);
    return inProject(process.execPath, join(root, "node_modules/typescript/bin/tsc"), "-p", ".");
  };
  expect(await check("5")).toMatchObject({ code: 0, stdout: "" });
  expect((await check('"five"')).stdout).toMatch(/^typed\.ts\(3,.*not assignable to type 'number'/);
});

test("npx starts its command line, which proves the GPU", async () => {
  const { code, stdout } = await inProject("npx", "--no-install", "hypergrad", "doctor", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ ok: true, runtime: "node" });
});

test.each(["node", "deno", "browser"])("runs the user's script in %s", async (runtime) => {
  // Not a dependency: a project that wants Deno brings its own.
  if (runtime === "deno") await link(join(root, "node_modules/deno"), "node_modules/deno");
  const source = `import { Gpu, print, zeros } from "hypergrad";
const { choice }: Gpu = await Gpu.open();
print([choice.runtime, zeros([3]).shape].join(" "));\n`;
  await put("script.ts", source);
  const launcher = join(project, "node_modules/hypergrad/src/cli/hypergrad.mjs");
  const ended = await inProject(process.execPath, launcher, "run", "script.ts", "--runtime", runtime);
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stdout).toBe(`${runtime} 3\n`);
});
