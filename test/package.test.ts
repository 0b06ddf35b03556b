import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { untar } from "../src/host/archive.ts";
import { hypergrad, root, start } from "./cli/launcher.ts";

let folder: string;

// A project that has installed the packed package, without a network: the package's files are copied, those of
// its dependencies linked to where they are. Development dependencies are out of its reach.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-package-"));
  // This may run under `npm cit --ignore-scripts`, which npm hands on: the package is to be built all the same.
  const packing = await npm("pack", "--ignore-scripts=false", "--silent", "--pack-destination", folder);
  expect(packing, packing.stderr).toMatchObject({ code: 0 });
  const tarball = packing.stdout.trim().split("\n").at(-1)!;
  for (const { name, bytes } of untar(gunzipSync(await readFile(join(folder, tarball))))) {
    await put(join("node_modules/hypergrad", name.replace(/^package\//, "")), bytes);
  }
  const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    const isTop = path.lastIndexOf("node_modules/") === 0;
    if (!isTop || dev) continue;
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await symlink(join(root, path), join(folder, path));
  }
  await put("package.json", '{ "private": true, "type": "module" }');
}, 120_000);

afterAll(() => rm(folder, { recursive: true }));

test("is imported by plain Node and by Deno", async () => {
  await put("main.mjs", 'import { bilevel } from "hypergrad";\nconsole.log(typeof bilevel);\n');
  const node = await start(process.execPath, ["main.mjs"], { cwd: folder });
  expect(node).toEqual({ code: 0, stdout: "function\n", stderr: "" });
  const deno = await start(join(root, "node_modules/.bin/deno"), ["run", "--allow-all", "main.mjs"], {
    cwd: folder,
  });
  expect(deno).toMatchObject({ code: 0, stdout: "function\n" });
});

test.each(["NodeNext", "Bundler"])("has types, resolved as %s does", async (moduleResolution) => {
  const module = moduleResolution === "Bundler" ? "ESNext" : moduleResolution;
  const compilerOptions = { strict: true, noEmit: true, target: "ES2023", types: [], module, moduleResolution };
  await put("tsconfig.json", JSON.stringify({ compilerOptions, files: ["typed.ts"] }));
  const typeCheck = async (argument: string) => {
    await put(
      "typed.ts",
      `import { Gpu, krmd, zeros } from "hypergrad";
export const device: GPUDevice = (await Gpu.open()).device;
console.log(zeros([3]).shape.length.toFixed(), krmd(${argument}));\n`,
    );
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    return start(process.execPath, [compiler, "-p", "."], { cwd: folder });
  };
  expect(await typeCheck("{ k: 5 }")).toMatchObject({ code: 0, stdout: "" });
  const wrong = await typeCheck("{ k: 'five' }");
  expect(wrong.code).not.toBe(0);
  expect(wrong.stdout).toContain("typed.ts(3,");
});

test("its command line runs a user's script, in every runtime", async () => {
  await put(
    "script.ts",
    `import { Gpu, print, zeros } from "hypergrad";
const { choice }: Gpu = await Gpu.open();
print(\`\${choice.runtime} \${zeros([3]).data.length}\`);\n`,
  );
  const command = join(folder, "node_modules/hypergrad/src/cli/hypergrad.mjs");
  for (const runtime of ["node", "deno", "browser"]) {
    const args = [command, "run", "script.ts", "--runtime", runtime];
    const ended = await start(process.execPath, args, { cwd: folder });
    // Deno is no dependency: it has to be the user's own.
    if (runtime === "deno") expect(ended.stderr).toContain("npm install --save-dev deno");
    else expect(ended).toMatchObject({ code: 0, stdout: `${runtime} 3\n` });
  }
});

test("npx starts its command line", async () => {
  await mkdir(join(folder, "node_modules/.bin"));
  const { bin } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { bin: { hypergrad: string } };
  await symlink(join("../hypergrad", bin.hypergrad), join(folder, "node_modules/.bin/hypergrad"));
});
