import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hypergrad, launcher, root, start } from "./launcher.ts";

let folder: string;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "hypergrad-script-")));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes a script of the user's, somewhere else than this package, and runs it. */
async function run(runtime: string, lines: readonly string[], cwd = folder) {
  await writeFile(join(folder, "mine.ts"), lines.join("\n"));
  return hypergrad(["run", join(folder, "mine.ts"), "--runtime", runtime], { cwd });
}

describe.each(["node", "deno", "browser"])("a script in %s", (runtime) => {
  test("knows its own address, and prints Values that are not endless", async () => {
    const { stdout, code } = await run(runtime, [
      `import { zeros } from "hypergrad";`,
      "console.log(JSON.stringify([import.meta.url, import.meta.dirname, import.meta.filename]));",
      "console.log(zeros([1000]));",
    ]);
    const [addresses, ...printed] = stdout.trimEnd().split("\n");
    const file = join(folder, "mine.ts");
    expect(JSON.parse(addresses!)).toEqual([pathToFileURL(file).href, folder, file]);
    const values = printed.join(" ").replace(/\s+/g, " ");
    const zeros = Array(100).fill("0").join(", ");
    expect(values).toBe(`{ shape: [ 1000 ], data: Float32Array(1000) [ ${zeros}, ... 900 more items ] }`);
    expect(code).toBe(0);
  });
});

describe.each(["node", "deno", "browser"])("a script that fails in %s", (runtime) => {
  const failing = [
    `import { readFile } from "hypergrad";`,
    "interface Gone { in: string }",
    "async function run(): Promise<void> {",
    "  await Promise.resolve();",
    "  load();",
    "}",
  ];

  test("is told the line of its own file, beside where it was started or from anywhere", async () => {
    const here = await run(runtime, [...failing, "await run();"]);
    expect(here).toMatchObject({ code: 1, stderr: "error: load is not defined (mine.ts:5:3)\n" });
    const elsewhere = await run(runtime, [...failing, "await run();"], root);
    expect(elsewhere.stderr).toBe(`error: load is not defined (${folder}/mine.ts:5:3)\n`);
  });

  test("hears what this package has to say without a line", async () => {
    const { stderr } = await run(runtime, [...failing, `await readFile("none.txt");`]);
    expect(stderr).toBe("error: cannot read none.txt: there is no such file\n");
  });
});

describe.each(["node", "deno"])("what a script in %s does not await", (runtime) => {
  const main = (...lines: string[]) =>
    run(runtime, [
      `import { Gpu } from "hypergrad";`,
      "async function main(): Promise<void> {",
      "  const gpu = await Gpu.open();",
      ...lines,
      "}",
      "main();",
    ]);

  test("is not cut off", async () => {
    const later = "await new Promise((resolve) => setTimeout(resolve, 100));";
    expect(await main("await gpu.settle();", later, `console.log("done");`)).toMatchObject({
      code: 0,
      stdout: "done\n",
    });
  });

  test("ends the run where it fails, with the line and 1", async () => {
    const failed = await main("load();");
    expect(failed).toMatchObject({ code: 1, stdout: "" });
    expect(failed.stderr).toMatch(/^error: load is not defined \(mine\.ts:4:1\)$/m);
  });
});

test.each(["node", "deno", "browser"])(
  "a rejection in %s that nobody handles ends the run with 1",
  async (runtime) => {
    const rejected = await run(runtime, [`Promise.reject("a word");`, "setTimeout(() => {}, 1e6);"]);
    expect(rejected).toMatchObject({ code: 1, stderr: "error: a word\n" });
  },
);

describe.each(["node", "deno"])("a script in %s", (runtime) => {
  test("that waits for nothing says so, and ends with 1", async () => {
    const { code, stderr } = await run(runtime, ["await new Promise(() => {});"]);
    expect([code, stderr]).toEqual([
      1,
      "error: the program waits for a promise that nothing is left to settle\n",
    ]);
  });

  test.runIf(process.platform === "linux")("is told in one line that its output has no room", async () => {
    await writeFile(join(folder, "mine.ts"), `console.log("result"); setTimeout(() => {}, 1e6);`);
    const command = [process.execPath, launcher, "run", join(folder, "mine.ts"), "--runtime", runtime];
    const { code, stderr } = await start("/bin/sh", ["-c", '"$@" > /dev/full', "sh", ...command]);
    expect(stderr).toMatch(/^error: .*no space left.*\n$/i);
    expect(code).toBe(1);
  });
});

test("a name that a module does not export is an error that says the nearest one", async () => {
  const { code, stderr } = await run("node", [`import * as hg from "hypergrad";`, "hg.krdm({ k: 3 });"]);
  const expected = 'error: hypergrad exports no "krdm": did you mean "krmd"? (mine.ts:2:4)\n';
  expect([code, stderr]).toEqual([1, expected]);
});
