import { expect, test } from "vitest";
import { hypergrad } from "../cli/launcher.ts";

const run = async (flags: readonly string[], own: readonly string[] = []) => {
  const ended = await hypergrad(["run", "schedules", ...own, ...flags]);
  return { ...ended, result: () => JSON.parse(ended.stdout.trim().split("\n").at(-1)!) };
};

const small = ["--train", "200", "--val", "200", "--test", "300", "--inner-steps", "10", "--hidden", "16"];

test("the learned schedules beat every constant rate of the grid, within their constraints", async () => {
  const flags = [...small, "--model", "linear", "--outer-steps", "60", "--outer-lr", "0.04", "--json"];
  const { code, stderr, result } = await run(flags);
  expect(stderr).toMatch(/^outer step 60\/60 .*validation loss \d/m);
  const { before, best, grid, after, eta, mu, losses } = result();
  console.log(
    `schedules: validation loss ${before.validationLoss} → ${after.validationLoss}, best of ${grid.length} constant ones ${best.validationLoss}`,
  );
  expect([eta.length, mu.length, losses.length]).toEqual([10, 10, 60]);
  expect(after.validationLoss).toBeLessThan(before.validationLoss);
  expect(after.validationLoss).toBeLessThan(best.validationLoss);
  expect(eta.every((value: number) => value >= 0)).toBe(true);
  expect(mu.every((value: number) => value >= 0 && value <= Math.fround(0.99))).toBe(true);
  expect(mu[0]).toBe(0.5);
  expect(code).toBe(0);
});

test("a rate that should fall below zero stops there", async () => {
  const flags = [...small, "--inner-lr", "3", "--outer-lr", "2", "--outer-steps", "6", "--json"];
  const { eta } = (await run(flags)).result();
  expect(Math.min(...eta)).toBe(0);
});

test("online, one run is trained with a rate that moves on the way, better than with the first one", async () => {
  const flags = [...small, "--model", "linear", "--online", "--estimator", "rtho", "--outer-steps", "12"];
  const { code, result } = await run([...flags, "--json"]);
  const { before, after, eta, mu, losses, estimator } = result();
  console.log(`online: validation loss ${before.validationLoss} → ${after.validationLoss}`);
  expect([estimator, eta.length, mu.length, eta[0], mu[0]]).toEqual(["rtho", 12, 12, 0.1, 0.5]);
  expect(after.validationLoss).toBeLessThan(before.validationLoss);
  // Training again by the schedule that was found is the run itself.
  expect(after.validationLoss).toBeCloseTo(losses.at(-1), 4);
  expect(code).toBe(0);
});

test.each(["deno", "browser"])(
  "in %s it gives the same numbers as in Node, but for rounding",
  async (runtime) => {
    const flags = [...small, "--outer-steps", "3", "--json"];
    const [here, there] = await Promise.all([run(flags), run(flags, ["--runtime", runtime])]);
    expect(there.result().after.validationLoss).toBeCloseTo(here.result().after.validationLoss, 4);
    const [etas, expected] = [there.result().eta as number[], here.result().eta as number[]];
    etas.forEach((eta, t) => {
      expect(eta).toBeCloseTo(expected[t]!, 3);
    });
  },
);

test("draws both schedules", async () => {
  const { code, stdout } = await run([...small, "--outer-steps", "1"]);
  expect(stdout.match(/^\d+ +\d\.\d{3} +█+ +\d\.\d{3} +█+$/gm)).toHaveLength(10);
  expect(stdout).toMatch(/^best of 18 constant: η [\d.]+, μ [\d.]+ +\d/m);
  expect(code).toBe(0);
});

test("an estimator that cannot see a rate says so", async () => {
  const { code, stderr } = await run([...small, "--estimator", "cg"]);
  expect(stderr).toMatch(/η or μ is a hyperparameter/);
  expect(code).toBe(1);
});

test("--help lists the flags", async () => {
  const { code, stdout } = await run(["--help"]);
  for (const text of ["--model", "--hidden N", "--inner-steps T", "--momentum MU"])
    expect(stdout).toContain(text);
  expect(code).toBe(0);
});

test.each([
  [["--model", "cnn"], "--model"],
  [["--hidden", "0"], "--hidden"],
  [["--estimator", "rtho"], "--estimator rtho needs --online"],
  [["--momentum", "1"], "--momentum 1: give at most 0.99"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
