import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HypergradOptions } from "../cli/launcher.ts";
import { type MetaResult, resultOf, script } from "./meta.ts";

/** As many images to learn from as to be judged on, so that a kernel for one serves the others. */
const small = {
  "--characters": "40",
  "--size": "10",
  "--ways": "4",
  "--queries": "1",
  "--tasks": "8",
  "--strides": "2,2",
  "--channels": "8",
  "--held-out-tasks": "80",
  "--warp": "2",
  "--norm": "none",
  "--inner-steps": "3",
};
const { run, place } = script("few-shot", small);

test("rows of estimators for two seeds: a learned layer classifies held-out characters better", async () => {
  const flags = [
    "--outer-steps",
    "60",
    "--outer-lr",
    "0.01",
    "--score-every",
    "30",
    "--seeds",
    "2",
    "--json",
  ];
  const ended = await run([...flags, "--estimators", "none,rmd,first-order"], {}, "rows");
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toMatch(/^rmd, seed 1, outer step 60\/60 .*validation loss \d/m);
  const result = resultOf(ended);
  expect(result).toMatchObject({ data: "characters", ways: 4, shots: 1, warp: "2", seeds: 2, outer: "adam" });
  expect(result.rows.map(({ estimator }) => estimator)).toEqual(["none", "rmd", "first-order"]);
  const [none, ...learning] = result.rows;
  expect(none!.after).toEqual(none!.before);
  expect(none!.bytes).toBeUndefined();
  for (const { estimator, outerStepsDone, before, after, scores, msPerOuterStep, bytes } of learning) {
    console.log(`${estimator}: accuracy ${before.mean} → ${after.mean} ± ${after.halfWidth}`);
    expect(outerStepsDone).toBe(60);
    expect(scores.map(({ outerStep }) => outerStep)).toEqual([0, 30, 60]);
    expect(before).toEqual(none!.before);
    expect(after.each).toHaveLength(2);
    expect(after.mean, estimator).toBeGreaterThan(before.mean + (estimator === "rmd" ? 0.08 : 0));
    expect(msPerOuterStep).toBeGreaterThan(0);
    expect(bytes!.total).toBeGreaterThan(0);
  }
  expect(await readdir(join(place.folder, "rows"))).toEqual(
    ["first-order-0", "first-order-1", "rmd-0", "rmd-1"].flatMap((name) =>
      ["checkpoint.npz", "log.jsonl"].map((file) => `few-shot-${name}-${file}`),
    ),
  );
});

test("a table; Ctrl-C ends with the rows until then, and --resume comes to the scores of an unbroken run", async () => {
  const flags = ["--estimators", "greedy:0.9", "--score-every", "4", "--held-out-tasks", "8"];
  let sent = false;
  const interrupt: HypergradOptions = {
    onNote(text, child) {
      const latest = Number(/outer step (\d+)\/.*\s*$/.exec(text)?.[1] ?? 0);
      if (!sent && latest > 4) sent = child.kill("SIGINT");
    },
  };
  const broken = await run([...flags, "--outer-steps", "100000"], interrupt, "broken");
  expect(broken.code, broken.stderr).toBe(130);
  expect(broken.stdout).toMatch(/^estimator +accuracy, %: at the start +after \d+/m);
  expect(broken.stdout).toMatch(/^greedy\(0\.9\) +\d+\.\d\d ± \d+\.\d\d/m);
  expect(broken.stdout).toContain("32 characters to learn from and 8 held out; 4-way 1-shot tasks");
  expect(broken.stdout).toContain("over 8 held-out tasks; one seed, 0");
  const done = Number(/stopped after outer step (\d+)/.exec(broken.stderr)![1]);
  expect(done).toBeGreaterThan(4);
  const longer = [...flags, "--outer-steps", String(done + 6), "--json"];
  const resumed = await run([...longer, "--resume"], {}, "broken");
  expect(resumed.stderr).toContain(`going on after outer step ${done}`);
  const whole = await run(longer, {}, "whole");
  const scored = ({ rows }: MetaResult) =>
    new Map(rows[0]!.scores.map(({ outerStep, mean }) => [outerStep, mean]));
  const [parts, unbroken] = [scored(resultOf(resumed)), scored(resultOf(whole))];
  expect([...unbroken.keys()].some((step) => step > done)).toBe(true);
  for (const [step, mean] of unbroken) expect(parts.get(step), `outer step ${step}`).toBe(mean);
});

test("pools in place of strides, and other first weights", async () => {
  const flags = ["--strides", "1,1", "--pools", "2,1", "--initial", "lecun", "--estimators", "first-order"];
  const ended = await run([...flags, "--outer-steps", "2", "--held-out-tasks", "8"], {}, "pools");
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stdout).toContain("2 convolutions of 8 channels, strides 1,1, max-pools 2,1");
});

test.each([
  [["--warp", "3"], "--warp 3: give layers from 1 to 2"],
  [["--strides", "2,x"], "--strides 2,x: give whole numbers"],
  [["--pools", "2"], "--pools 2: give a whole number for each of the 2 convolutions"],
  [["--ways", "9"], "the held-out tasks: 9-way tasks need 9 classes, there are 8"],
  [["--queries", "20"], "1 shots and 20 queries need 21: ask for fewer"],
  [["--characters", "3000"], "--characters: classes of characters must be a whole number from 1 to 2000"],
  [["--rotations"], "--rotations needs --data DIR"],
  [["--part", "evaluation"], "--part evaluation needs --data DIR"],
  [["--estimators", "krmd:4"], "at most 3"],
  [["--log", "log.jsonl"], "--checkpoint and --log name the file of one run"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
