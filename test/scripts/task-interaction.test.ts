import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { balancedOrder } from "../../scripts/common/class_vectors.ts";
import { Random } from "../../src/random.ts";
import { hypergrad } from "../cli/launcher.ts";

const shared = fileURLToPath(new URL("../../../shared/data", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-tasks-"));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (flags: readonly string[]) =>
  hypergrad(["run", "task-interaction", "--out", folder, "--seeds", "2", ...flags]);

interface Estimate {
  mean: number;
  each: number[];
}

interface Row {
  estimator: string;
  outerStepsDone: number;
  testAccuracy: Estimate;
  validationLoss: Estimate;
  rho: Estimate;
  interaction?: number[][];
  families?: { within: Estimate; across: Estimate };
}

const resultOf = (stdout: string) => JSON.parse(stdout.trim().split("\n").at(-1)!);

test("C joins the classes of a family, and no others, whatever the estimator", async () => {
  const flags = ["--generated", "--inner-steps", "40", "--outer-steps", "10", "--json"];
  const { code, stdout, stderr } = await run([...flags, "--estimators", "none,ridge,krmd:1,rmd"]);
  expect(code, stderr).toBe(0);
  const result = resultOf(stdout);
  expect(result).toMatchObject({ data: "families", classes: 10, features: 60, seeds: 2, train: 50, val: 50 });
  const rows: Row[] = result.rows;
  expect(rows.map(({ estimator }) => estimator)).toEqual(["none", "ridge", "krmd(1)", "rmd"]);
  expect(rows.map(({ outerStepsDone }) => outerStepsDone)).toEqual([1, 10, 10, 10]);
  const [none, ridge, ...learning] = rows;
  expect(none!.rho.mean).toBe(0);
  expect(none!.interaction).toBeUndefined();
  expect(ridge!.interaction).toBeUndefined();
  for (const { estimator, interaction: C, families, validationLoss } of learning) {
    const pairs = C!.flatMap((row, i) => row.map((value, j) => ({ i, j, value })));
    for (const { i, j, value } of pairs) {
      expect(value, `${estimator}, C ${i} ${j}`).toBeGreaterThanOrEqual(0);
      expect(value).toBe(C![j]![i]);
    }
    const largest = pairs
      .filter(({ i, j }) => i < j)
      .sort((one, other) => other.value - one.value)
      .slice(0, 5);
    console.log(
      `${estimator}: within ${families!.within.mean}, across ${families!.across.mean}; ${largest.map(({ i, j }) => `${i}–${j}`).join(", ")}`,
    );
    expect(families!.within.mean, estimator).toBeGreaterThan(5 * families!.across.mean);
    expect(largest.filter(({ i, j }) => i >> 1 === j >> 1).length, estimator).toBeGreaterThanOrEqual(4);
    validationLoss.each.forEach((loss, seed) => {
      expect(loss, `${estimator}, seed ${seed}`).toBeLessThan(none!.validationLoss.each[seed]!);
    });
  }
  expect(await readdir(folder)).toEqual(
    [
      ...["krmd-1-checkpoint.npz", "krmd-1-log.jsonl", "none-log.jsonl", "ridge-checkpoint.npz"],
      ...["ridge-log.jsonl", "rmd-checkpoint.npz", "rmd-log.jsonl"],
    ].map((file) => `task-interaction-${file}`),
  );
});

test("prints a table, of glyphs", async () => {
  const flags = ["--train", "20", "--val", "20", "--inner-steps", "5", "--outer-steps", "2", "--pool", "4"];
  const { code, stdout, stderr } = await run([...flags, "--estimators", "krmd:2"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^estimator +test accuracy, % +validation loss +ρ/m);
  expect(stdout).toMatch(/^krmd\(2\) +\d+\.\d\d ± \d+\.\d\d +\d\.\d{4} ± /m);
  expect(stdout).toMatch(/^krmd\(2\): C is largest for \d–\d 0\.00/m);
  expect(stdout).toContain("glyphs: 10 classes, 20 training and 20 validation examples, 1000 test examples");
  expect(stdout).toContain("1 × 7 × 7 means of 4 × 4 pixels");
});

test("CIFAR-10 has names for its classes", async (context) => {
  if (!existsSync(`${shared}/cifar10`)) context.skip("there is no ../shared/data/cifar10");
  const flags = [
    "--data",
    shared,
    "--train",
    "20",
    "--val",
    "20",
    "--inner-steps",
    "5",
    "--outer-steps",
    "2",
  ];
  const { code, stdout, stderr } = await run([...flags, "--pool", "8", "--estimators", "krmd:2"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/C is largest for [a-z]+–[a-z]+ 0\.00/);
  expect(stdout).toContain("3 × 4 × 4 means of 8 × 8 pixels");
});

test("examples are drawn equally from all classes", () => {
  const labels = Int32Array.from({ length: 100 }, (_, i) => (i < 80 ? 0 : 1 + (i % 2)));
  const order = balancedOrder(labels, new Random(1));
  expect(new Set(order).size).toBe(100);
  for (const label of [0, 1, 2]) {
    expect([...order.subarray(0, 30)].filter((i) => labels[i] === label)).toHaveLength(10);
  }
});

test.each([
  [["--estimators", "ridges"], 'there is no estimator "ridges"'],
  [["--generated", "--data", "d"], "--generated and --data exclude each other"],
  [["--set", "cifar10"], "--set cifar10 needs --data DIR"],
  [["--pool", "3"], "--pool 3 does not divide the 28 × 28 pixels of glyphs"],
  [["--train", "990", "--val", "20"], "--train and --val ask for 1010 examples"],
  [["--checkpoint", "c.npz"], "--checkpoint and --log name the file of one row"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
