import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { glyphs } from "../../src/index.ts";
import { type HypergradOptions, hypergrad, root } from "../cli/launcher.ts";
import { encodeIdx } from "../data/encode-idx.ts";

/** The same shapes in every test: a driver with a cache compiles them once. */
const small = ["--train", "300", "--val", "300", "--inner-steps", "10"];
const tested = 500;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-test-"));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (flags: readonly string[], options?: HypergradOptions, out = "out") =>
  hypergrad(["run", "scripts/hypercleaning.ts", "--out", join(folder, out), ...flags], options);

test("cleaning beats training on the noisy labels, and finds the wrong ones", async () => {
  const flags = [
    ...small,
    "--test",
    String(tested),
    "--outer-steps",
    "40",
    "--outer-lr",
    "0.2",
    "--seed",
    "3",
    "--json",
  ];
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toMatch(/^outer step 40\/40 .*validation loss \d/m);
  expect(code).toBe(0);
  const result = JSON.parse(stdout.trim().split("\n").at(-1)!);
  expect(result).toMatchObject({
    data: "glyphs",
    estimator: "krmd(5)",
    train: 300,
    noise: 0.5,
    innerSteps: 10,
    momentum: 0,
    outer: "adam",
    outerStepsDone: 40,
  });
  const { baseline, ceiling, bytes } = result;
  console.log(
    `hyper-cleaning of 300 glyphs: test accuracy ${baseline.testAccuracy} → ${result.testAccuracy} (clean part ${ceiling.testAccuracy}), F1 ${result.f1}`,
  );
  expect(result.testAccuracy).toBeGreaterThan(baseline.testAccuracy + 0.02);
  expect(ceiling.testAccuracy).toBeGreaterThan(baseline.testAccuracy + 0.02);
  expect(result.validationLoss).toBeLessThan(baseline.validationLoss);
  expect(result.f1).toBeGreaterThan(0.75);
  expect(result.bestF1).toBeGreaterThanOrEqual(result.f1);
  expect(result.msPerOuterStep).toBeGreaterThan(0);
  const { total, ...roles } = bytes as Record<string, number>;
  expect(Object.values(roles).reduce((sum, count) => sum + count, 0)).toBe(total);

  const { width, height, channels } = decode(await readFile(join(folder, "out/hypercleaning.png")));
  expect([width > 800, height > 400, channels]).toEqual([true, true, 3]);
  const saved = JSON.parse(await readFile(join(folder, "out/hypercleaning-weights.json"), "utf8"));
  expect(saved.settings).toMatchObject({ seed: 3, outerStepsDone: 40 });
  for (const column of ["lambda", "label", "wrong", "example"]) expect(saved[column]).toHaveLength(300);
});

describe.each(["deno", "browser"])("in %s", (runtime) => {
  test("it gives the same numbers as in Node, but for rounding", async () => {
    const flags = [
      ...small,
      "--test",
      String(tested),
      "--outer-steps",
      "3",
      "--estimator",
      "greedy",
      "--json",
    ];
    const [here, there] = await Promise.all(
      ["node", runtime].map(async (name) => {
        // A page may only write under the folder that it is started in.
        const script = join(root, "scripts/hypercleaning.ts");
        const { stdout } = await hypergrad(["run", script, "--runtime", name, ...flags], { cwd: folder });
        return JSON.parse(stdout.trim().split("\n").at(-1)!);
      }),
    );
    expect(there.estimator).toBe("greedy(0.9)");
    expect(there.validationLoss).toBeCloseTo(here.validationLoss, 4);
    expect(there.baseline.testAccuracy).toBeCloseTo(here.baseline.testAccuracy, 2);
    expect(there.bytes).toEqual(here.bytes);
  });
});

test("Ctrl-C ends after the step at hand: results are printed, the weights saved", async () => {
  let sent = false;
  const interrupt: HypergradOptions = {
    onNote(text, child) {
      if (!sent && text.includes("outer step ")) sent = child.kill("SIGINT");
    },
  };
  const flags = [...small, "--test", String(tested), "--outer-steps", "100000"];
  const { code, stdout, stderr } = await run(flags, interrupt, "cut");
  expect(stderr).toContain("interrupted");
  expect(stdout).toMatch(/^with cleaning +\d/m);
  expect(stdout).toMatch(/labels are wrong; \d+ are flagged/);
  const saved = JSON.parse(await readFile(join(folder, "cut/hypercleaning-weights.json"), "utf8"));
  expect(saved.settings.outerStepsDone).toBeLessThan(100000);
  expect(saved.lambda.some((weight: number) => weight !== 0)).toBe(true);
  expect(code).toBe(130);
});

test("a picture that cannot be written is told of before the run", async () => {
  await mkdir(join(folder, "taken/hypercleaning.png"), { recursive: true });
  const { code, stdout, stderr } = await run([], {}, "taken");
  expect(stderr).toMatch(/^error: cannot write .*hypercleaning\.png: it is a folder/);
  expect(stdout).toBe("");
  expect(code).toBe(1);
});

test.each([
  [["--k", "11", "--inner-steps", "10"], "--k 11 is more than there are inner steps"],
  [["--estimator", "rmd", "--k", "3"], "--k belongs to --estimator krmd"],
  [["--gamma", "0.5"], "--gamma belongs to --estimator greedy"],
  [["--estimator", "greedy", "--gamma", "1.5"], "--gamma"],
  [["--noise", "-0.1"], "--noise"],
  [["--noise", "2"], "--noise"],
  [["--inner-steps", "0"], "--inner-steps"],
  [["--inner-lr", "much"], "--inner-lr"],
  [["--outer", "adma"], "adam"],
  [["--start", "warm"], "--start"],
  [["--log", ""], "name a path"],
  [["--train", "100000000"], "--train, --val and --test: 100003000 glyphs of 28 × 28 pixels do not fit"],
  [["--set", "mnist"], "--set mnist needs --data"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});

test("--help lists the flags with their defaults", async () => {
  const { code, stdout } = await run(["--help"]);
  for (const text of [
    "--estimator",
    "greedy, first-order",
    '["krmd"]',
    "--noise P",
    '["0.5"]',
    "--data DIR",
  ]) {
    expect(stdout).toContain(text);
  }
  expect(stdout).not.toContain("--outer-loss");
  expect(code).toBe(0);
});

describe("with --data", () => {
  const write = async (damage: (files: Record<string, Uint8Array>) => void) => {
    const data = await mkdtemp(join(folder, "idx-"));
    const files: Record<string, Uint8Array> = {};
    for (const [prefix, count, seed] of [
      ["train", 650, 1],
      ["t10k", tested, 2],
    ] as const) {
      const { images, labels } = glyphs({ count, seed });
      const bytes = images.map((ink) => Math.round(255 * ink));
      files[`${prefix}-images-idx3-ubyte`] = encodeIdx([count, 28, 28], bytes);
      files[`${prefix}-labels-idx1-ubyte`] = encodeIdx([count], labels);
    }
    damage(files);
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(data, name), bytes);
    return data;
  };
  const flags = [...small, "--outer-steps", "2"];

  test("IDX files are used: parts of the training file, all of the test file", async () => {
    const data = await write(() => {});
    const { code, stdout } = await run([...flags, "--data", data, "--json"]);
    expect(JSON.parse(stdout.trim().split("\n").at(-1)!)).toMatchObject({ data: "mnist", test: tested });
    const saved = JSON.parse(await readFile(join(folder, "out/hypercleaning-weights.json"), "utf8"));
    expect(new Set(saved.example).size).toBe(300);
    expect(code).toBe(0);
  });

  test("more examples than there are is exit code 2", async () => {
    const { code, stderr } = await run(["--data", await write(() => {})]);
    expect(stderr).toContain("--train and --val ask for 2000 examples of mnist, which has 650");
    expect(code).toBe(2);
  });

  test("a damaged file is exit code 1, with file and offset", async () => {
    const data = await write((files) => {
      files["train-images-idx3-ubyte"] = files["train-images-idx3-ubyte"]!.subarray(0, 1000);
    });
    const { code, stdout, stderr } = await run([...flags, "--data", data]);
    expect(stderr).toMatch(/^error: .*train-images-idx3-ubyte.*1000/m);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  test("a folder without the files is exit code 1, with their names", async () => {
    const { code, stderr } = await run([...flags, "--data", folder]);
    expect(stderr).toContain("train-images-idx3-ubyte");
    expect(code).toBe(1);
  });
});
