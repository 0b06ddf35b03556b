import { expect, test } from "vitest";
import { resultOf, script } from "./meta.ts";

const small = {
  "--characters": "40",
  "--size": "10",
  "--ways": "4",
  "--queries": "1",
  "--tasks": "8",
  "--strides": "2,2",
  "--channels": "8",
  "--held-out-tasks": "80",
  "--shared": "1",
  "--inner-steps": "5",
};
const { run } = script("one-shot", small);

test("K-RMD, the full sweep and a short horizon learn centre, strength and rate from the same start", async () => {
  const flags = ["--outer-steps", "60", "--outer-lr", "0.01", "--score-every", "60", "--short", "2"];
  const ended = await run([...flags, "--estimators", "none,krmd:1,krmd:5,rmd", "--json"]);
  expect(ended.code, ended.stderr).toBe(0);
  const { rows } = resultOf(ended);
  expect(rows.map(({ estimator }) => estimator)).toEqual(["none", "krmd(1)", "krmd(5)", "rmd", "rmd, T = 2"]);
  const [none, ...learning] = rows;
  expect(none).toMatchObject({
    rho: { mean: expect.closeTo(0.01, 6) },
    eta: { mean: expect.closeTo(0.1, 6) },
  });
  for (const row of learning) {
    console.log(`${row.estimator}: accuracy ${row.before.mean} → ${row.after.mean}`);
    expect(row.before).toEqual(none!.before);
    expect(row.after.mean, row.estimator).toBeGreaterThan(row.before.mean + 0.15);
    expect(row.rho).not.toEqual(none!.rho);
    expect(row.eta).not.toEqual(none!.eta);
  }
  const [one, all, full] = learning;
  // K = T is the full sweep.
  expect(all!.after.each).toEqual(full!.after.each);
  expect(one!.bytes!.trajectory).toBeLessThan(full!.bytes!.trajectory!);
});

test("what is not defined for a learned η is refused with the reason", async () => {
  const { code, stderr } = await run(["--estimators", "neumann:2", "--outer-steps", "1"]);
  expect(stderr).toMatch(/learned|hyperparameter/);
  expect(code).toBe(1);
});

test.each([
  [["--shared", "0"], "--shared 0: give layers from 1 to 2"],
  [["--shared", "1,3"], "--shared 1,3: give layers from 1 to 2"],
  [["--strength", "0"], "--strength 0 has no logarithm"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
