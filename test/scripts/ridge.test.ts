import { expect, test } from "vitest";
import { hypergrad } from "../cli/launcher.ts";

const run = async (flags: readonly string[], own: readonly string[] = []) => {
  const ended = await hypergrad(["run", "ridge", ...own, ...flags]);
  return { ...ended, result: () => JSON.parse(ended.stdout.trim().split("\n").at(-1)!) };
};

const small = ["--train", "100", "--test", "500", "--inner-steps", "40", "--json"];
const validated = ["--val", "200", ...small];

test("the learned strength is as good as the best of the grid, whether it starts too low or too high", async () => {
  for (const start of ["-6", "-1"]) {
    const flags = [...validated, "--generated", "--start", start, "--outer-lr", "0.3", "--outer-steps", "30"];
    const { code, stderr, result } = await run(flags);
    expect(stderr).toMatch(/^outer step 30\/30 .*validation loss \d/m);
    const { data, before, after, grid, lambda, losses } = result();
    console.log(
      `ridge from λ = ${start}: validation loss ${before.validationLoss} → ${after.validationLoss} at λ = ${lambda}`,
    );
    expect(data).toBe("generated");
    expect(lambda).toHaveLength(1);
    expect(losses).toHaveLength(30);
    const best = Math.min(...grid.map((point: typeof after) => point.validationLoss));
    expect(after.validationLoss).toBeLessThan(before.validationLoss);
    expect(after.validationLoss).toBeLessThan(best * 1.01);
    expect(code).toBe(0);
  }
});

test("a strength for each weight beats the best common one, and is lower where a feature is informative", async () => {
  const flags = [
    ...small,
    "--generated",
    "--per-parameter",
    "--val",
    "1000",
    "--start",
    "-3",
    "--outer-steps",
    "30",
  ];
  const { code, result } = await run(flags);
  const { after, grid, lambda, recovered } = result();
  console.log(
    `ridge per parameter: λ ${recovered.informative} where informative, else ${recovered.others}; test loss ${after.testLoss}`,
  );
  expect(lambda).toHaveLength(200);
  for (const loss of ["validationLoss", "testLoss"] as const) {
    expect(after[loss]).toBeLessThan(Math.min(...grid.map((point: typeof after) => point[loss])) - 0.03);
  }
  expect(recovered.informative).toBeLessThan(recovered.others - 1);
  // 2 η e^λ ≤ 1 at all times.
  expect(Math.max(...lambda)).toBeLessThanOrEqual(Math.log(0.5 / 0.5) + 1e-6);
  expect(code).toBe(0);
});

test.each(["deno", "browser"])(
  "in %s it gives the same numbers as in Node, but for rounding",
  async (runtime) => {
    const flags = [...validated, "--outer-steps", "3", "--estimator", "krmd", "--k", "10"];
    const [here, there] = await Promise.all([run(flags), run(flags, ["--runtime", runtime])]);
    expect(there.result().estimator).toBe("krmd(10)");
    expect(there.result().lambda[0]).toBeCloseTo(here.result().lambda[0], 4);
    expect(there.result().after.validationLoss).toBeCloseTo(here.result().after.validationLoss, 4);
  },
);

test("prints a table", async () => {
  const { code, stdout } = await run([...validated.slice(0, -1), "--outer-steps", "1"]);
  expect(stdout).toMatch(/^fixed: λ = -12 +\d\.\d{4} +\d\.\d{4} +\d+\.\d\d %$/m);
  expect(stdout).toMatch(/^learned: λ = -\d\.\d\d +\d/m);
  expect(code).toBe(0);
});

test("--help lists the flags", async () => {
  const { code, stdout } = await run(["--help"]);
  for (const text of ["--per-parameter", "--generated", "--start LAMBDA", "--data DIR"])
    expect(stdout).toContain(text);
  expect(code).toBe(0);
});

test.each([
  [["--per-paramter"], "--per-parameter"],
  [["--start", "high"], "--start"],
  [["--start", "3"], "--start 3 is not stable with --inner-lr 0.5"],
  [["--generated", "--data", "x"], "--generated and --data exclude each other"],
  [["--k", "3"], "--k belongs to"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
