import { expect, test } from "vitest";
import { hypergrad } from "../cli/launcher.ts";

const run = async (flags: readonly string[], own: readonly string[] = []) => {
  const ended = await hypergrad(["run", "group-lasso", ...own, ...flags]);
  return { ...ended, result: () => JSON.parse(ended.stdout.trim().split("\n").at(-1)!) };
};

const small = [
  "--features",
  "9",
  "--groups",
  "3",
  "--regressions",
  "40",
  "--train",
  "8",
  "--inner-steps",
  "40",
];

test("the groups that the data were made from are found, and serve the regressions as well as they do", async () => {
  const { code, stderr, result } = await run([...small, "--outer-steps", "40", "--json"]);
  expect(stderr).toMatch(/^outer step 40\/40 .*validation loss \d/m);
  const { before, learned, trueGroups, adjustedRand, grouping, theta, losses } = result();
  console.log(
    `group lasso: validation loss ${before} → ${learned}, true groups ${trueGroups}; adjusted Rand index ${adjustedRand}`,
  );
  expect(adjustedRand).toBe(1);
  expect(new Set(grouping).size).toBe(3);
  expect(learned).toBeLessThan(0.7 * before);
  expect(learned).toBeLessThan(1.1 * trueGroups);
  expect(losses).toHaveLength(40);
  for (const row of theta as number[][]) expect(row.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 6);
  expect(code).toBe(0);
});

test.each(["deno", "browser"])(
  "in %s it gives the same numbers as in Node, but for rounding",
  async (runtime) => {
    const flags = [...small, "--outer-steps", "3", "--json"];
    const [here, there] = await Promise.all([run(flags), run(flags, ["--runtime", runtime])]);
    expect(there.result().learned).toBeCloseTo(here.result().learned, 4);
  },
);

test("prints the shares of each feature", async () => {
  const { code, stdout } = await run([...small, "--outer-steps", "1"]);
  expect(stdout.match(/^feature \d +[123]( +█* ?\d\.\d\d){3}$/gm)).toHaveLength(9);
  expect(stdout).toMatch(/^adjusted Rand index of the learned groups with the true ones: -?\d\.\d{3}/m);
  expect(code).toBe(0);
});

test("--help lists the flags", async () => {
  const { code, stdout } = await run(["--help"]);
  for (const text of ["--features P", "--groups G", "--regressions N", "--penalty LAMBDA"])
    expect(stdout).toContain(text);
  expect(code).toBe(0);
});

test.each([
  [["--groups", "30"], "--groups 30 of 20 features"],
  [["--noise", "-1"], "--noise"],
  [["--penalty", "strong"], "--penalty"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
