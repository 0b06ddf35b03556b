import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type HypergradOptions, hypergrad } from "../cli/launcher.ts";

/** As many images of each kind, so that a kernel for one serves the others, and few kernels. */
const small = ["--train", "32", "--test", "32", "--inner-steps", "3", "--layers", "1", "--channels", "4"];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-cnn-"));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (flags: readonly string[], options?: HypergradOptions) =>
  hypergrad(["run", "hypercleaning-cnn", ...small, "--out", folder, ...flags], options);

interface Estimate {
  mean: number;
  halfWidth?: number;
  each: number[];
}

interface Result {
  rows: {
    estimator: string;
    outerStepsDone: number;
    testAccuracy: Estimate;
    testAccuracies?: { outerStep: number; each: number[] }[];
    bestAccuracy?: Estimate;
    validationLoss: Estimate;
    bestF1?: Estimate;
    msPerOuterStep: number;
    bytes: Record<string, number>;
  }[];
}

const resultOf = (stdout: string): Result => JSON.parse(stdout.trim().split("\n").at(-1)!);

test("rows of estimators for two seeds: the validation loss falls below that without weights", async () => {
  const flags = ["--val", "32", "--outer-steps", "6", "--outer-lr", "1", "--json"];
  const two = await run([...flags, "--seeds", "2", "--estimators", "none,t1t2,greedy:0.9"]);
  expect(two.code, two.stderr).toBe(0);
  expect(two.stderr).toMatch(/^greedy\(0\.9\), outer step 6\/6 .*validation loss \d/m);
  const result = resultOf(two.stdout);
  expect(result).toMatchObject({ data: "glyphs", train: 32, val: 32, test: 32, innerSteps: 3, seeds: 2 });
  expect(result.rows.map(({ estimator }) => estimator)).toEqual(["none", "t1t2", "greedy(0.9)"]);
  expect(result.rows.map(({ outerStepsDone }) => outerStepsDone)).toEqual([1, 6, 6]);
  const [none, ...learning] = result.rows;
  expect(none!.bestF1).toBeUndefined();
  for (const { estimator, testAccuracy, validationLoss, bestF1 } of learning) {
    expect(testAccuracy.each).toHaveLength(2);
    expect(testAccuracy.halfWidth).toBeGreaterThanOrEqual(0);
    expect(bestF1!.mean, estimator).toBeGreaterThan(0.5);
    validationLoss.each.forEach((loss, seed) => {
      expect(loss, `${estimator}, seed ${seed}`).toBeLessThan(none!.validationLoss.each[seed]!);
    });
  }
  expect(await readdir(folder)).toEqual(
    [
      ...["greedy-0.9-checkpoint.npz", "greedy-0.9-log.jsonl", "none-log.jsonl"],
      ...["t1t2-checkpoint.npz", "t1t2-log.jsonl"],
    ].map((file) => `hypercleaning-cnn-${file}`),
  );
  const [first, second] = none!.validationLoss.each;
  expect(first).not.toBe(second);

  const alone = await run([...flags, "--seeds", "1", "--estimators", "t1t2"]);
  const [row] = resultOf(alone.stdout).rows;
  expect(row!.validationLoss.each[0]).toBeCloseTo(learning[0]!.validationLoss.each[0]!, 4);
  expect(row!.validationLoss.halfWidth).toBeUndefined();
});

test("prints a table: validation on batches of test images, a warm start, a last training", async () => {
  const flags = ["--seeds", "1", "--outer-steps", "2", "--estimators", "none,t1t2", "--noise", "0.3"];
  const more = ["--val", "test", "--val-batch", "32", "--start", "warm", "--final-steps", "4"];
  const { code, stdout, stderr } = await run([...flags, ...more]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^estimator +test accuracy, % +retrained, % +validation loss/m);
  expect(stdout).toMatch(/^none +\d+\.\d\d +\d+\.\d\d +\d\.\d{4} +– +2 /m);
  expect(stdout).toMatch(/^t1t2 +\d+\.\d\d +\d+\.\d\d +\d\.\d{4} +\d\.\d{3} +2 /m);
  expect(stdout).toContain("validation on the test images, 32 of them an outer step; 32 test images");
  expect(stdout).toContain(
    "warm; tested: w_T of the last outer step; retrained: 4 steps from w_0 with the learned weights",
  );
  expect(stdout).toContain("one seed, 0");

  const longer = await run([...flags, ...more.with(-1, "6"), "--resume"]);
  expect(longer.code, longer.stderr).toBe(0);
  expect(longer.stdout).toContain("retrained: 6 steps from w_0");
});

test("the authors' network: tested along the way, with hypergradients of other examples", async () => {
  const net = ["--norm", "--pooling", "average", "--hidden", "4", "--centred", "--weight-decay", "3e-4"];
  const flags = ["--seeds", "2", "--val", "32", "--start", "warm", "--outer-lr", "1", "--test-every", "2"];
  const told = async (...more: string[]) => {
    const { code, stdout, stderr } = await run([...net, ...flags, ...more, "--estimators", "t1t2", "--json"]);
    expect(code, stderr).toBe(0);
    return resultOf(stdout).rows[0]!;
  };
  const right = await told("--outer-steps", "5");
  const { testAccuracies: along = [], bestAccuracy } = right;
  expect(along.map(({ outerStep }) => outerStep)).toEqual([2, 4]);
  expect(bestAccuracy!.each).toEqual(
    [0, 1].map((seed) => Math.max(along[0]!.each[seed]!, along[1]!.each[seed]!)),
  );

  const wrong = await told("--outer-steps", "5", "--misplaced", "--checkpoint-every", "3");
  expect(wrong.validationLoss.each).not.toEqual(right.validationLoss.each);
  expect(wrong.bestF1!.mean).toBeLessThan(right.bestF1!.mean);
  const resumed = await told("--outer-steps", "5", "--misplaced", "--checkpoint-every", "3", "--resume");
  expect({ ...resumed, msPerOuterStep: 0 }).toEqual({ ...wrong, msPerOuterStep: 0 });
});

test("Ctrl-C ends after the step at hand, with the rows until then", async () => {
  let sent = false;
  const interrupt: HypergradOptions = {
    onNote(text, child) {
      if (!sent && text.includes("t1t2, outer step ")) sent = child.kill("SIGINT");
    },
  };
  const flags = ["--val", "32", "--seeds", "1", "--outer-steps", "100000", "--estimators", "none,t1t2,rmd"];
  const { code, stdout, stderr } = await run(flags, interrupt);
  expect(stderr).toContain("interrupted");
  expect(stdout).toMatch(/^t1t2 /m);
  expect(stdout).not.toMatch(/^rmd /m);
  expect(code).toBe(130);
});

test.each([
  [["--estimators", "nun"], 'there is no estimator "nun"'],
  [["--estimators", "krmd:4"], "at most 3"],
  [["--val", "tests"], "--val"],
  [["--seeds", "0"], "--seeds"],
  [["--log", "log.jsonl"], "--checkpoint and --log name the file of one row"],
  [["--set", "mnist"], "--set mnist needs --data"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
