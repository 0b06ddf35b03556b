import { expect, test } from "vitest";
import { resultOf, script } from "./meta.ts";

const small = {
  "--hidden": "16",
  "--tasks": "10",
  "--inner-steps": "4",
  "--inner-lr": "0.05",
  "--held-out-tasks": "20",
};
const { run } = script("maml", small);

test("a learned start beats a random one; checkpointed comes to the bits of rmd", async () => {
  const flags = ["--outer-steps", "60", "--outer-lr", "0.02", "--score-every", "30", "--json"];
  const ended = await run([...flags, "--estimators", "none,rmd,checkpointed,first-order"]);
  expect(ended.code, ended.stderr).toBe(0);
  const { rows } = resultOf(ended);
  const [none, exact, stored, first] = rows;
  for (const { estimator, before, after } of rows)
    console.log(`${estimator}: loss ${before.mean} → ${after.mean}`);
  expect(exact!.after.mean).toBeLessThan(0.75 * none!.after.mean);
  expect(first!.after.mean).toBeLessThan(0.9 * none!.after.mean);
  expect(stored!.after.each).toEqual(exact!.after.each);
  // The same first point: w_0 itself, and c in the losses with d = 0.
  for (const [task, loss] of first!.before.each.entries()) {
    expect(Math.abs(loss / exact!.before.each[task]! - 1)).toBeLessThan(1e-4);
  }
  const after = (steps: number) => exact![`T = ${steps}`] as { mean: number };
  expect(after(5).mean).toBeLessThan(after(0).mean);
});

test("a truncated sweep is refused with the reason", async () => {
  const { code, stderr } = await run(["--estimators", "krmd:1", "--outer-steps", "1"]);
  expect(stderr).toContain("w_0 is a hyperparameter and only 1 of 4 steps are swept");
  expect(code).toBe(1);
});

test("a table; wrong flags are exit code 2", async () => {
  const { code, stdout, stderr } = await run(["--estimators", "rmd", "--outer-steps", "2"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^estimator +held-out loss: at the start +after 2 +T = 0 +T = 1 +T = 5 +T = 10/m);
  expect(stdout).toMatch(/^rmd +\d+\.\d{3} ± /m);
  const wrong = await run(["--points", "0"]);
  expect(wrong.stderr).toContain("--points");
  expect(wrong.code).toBe(2);
});
