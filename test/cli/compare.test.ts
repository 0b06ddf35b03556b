import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hypergrad, root } from "./launcher.ts";

const fixture = join(root, "test/cli/fixtures/stretch.ts");

function lastLine(stdout: string) {
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

test("import.meta.main is true in the script that runs", async () => {
  const { code, stdout } = await hypergrad(["run", fixture]);
  expect([code, stdout]).toEqual([0, "the experiment\n"]);
});

test("compare goes along an optimisation: its points, and the exact hypergradient at each", async () => {
  const flags = ["--estimators", "rmd,t1t2", "--every", "2", "--until", "5", "--json", "--steps", "4"];
  const { code, stdout } = await hypergrad(["compare", fixture, ...flags]);
  const { points } = lastLine(stdout);
  expect(points.map(({ outerStep }: { outerStep: number }) => outerStep)).toEqual([0, 2, 4]);
  for (const { estimators } of points) {
    expect(estimators[0]).toMatchObject({ cosine: 1, name: "rmd" });
    expect(estimators[0].relativeError).toBeLessThan(1e-6);
    expect(estimators[1].relativeError).toBeGreaterThan(0.01);
  }
  const norms = points.map(
    ({ estimators: [exact] }: { estimators: { hypergradientNorm: number }[] }) => exact!.hypergradientNorm,
  );
  expect(new Set(norms).size).toBe(3);
  expect(code).toBe(0);
});

describe.each(["node", "deno", "browser"])("in %s", (runtime) => {
  test("compare prints one JSON object last, and does not run the experiment", async () => {
    const estimators = "rmd,krmd:2,greedy:0.5,first-order,cg,rmd";
    const flags = ["--estimators", estimators, "--repeats", "1", "--json", "--runtime", runtime];
    const { code, stdout } = await hypergrad(["compare", fixture, ...flags, "--steps", "4"]);
    expect(stdout).toMatch(/^imported\n\{/);
    expect(code).toBe(0);
    const { adapter, problem, reference, estimators: rows } = lastLine(stdout);
    expect(adapter).toMatch(/./);
    expect(problem).toEqual({
      steps: 4,
      parameters: 2,
      hyperparameters: 3,
      lanes: 1,
      groups: { target: [2], eta: [] },
    });
    expect(reference).toEqual({ name: "rmd" });
    expect(rows.map(({ name }: { name: string }) => name)).toEqual([
      "rmd",
      "krmd",
      "greedy",
      "first-order",
      "cg",
      "rmd",
    ]);
    for (const exact of [rows[0], rows[5]]) {
      expect(exact).toMatchObject({ cosine: 1, relativeError: 0, products: 4 });
    }
    expect(rows[1]).toMatchObject({ label: "krmd(2)", products: 2 });
    expect(rows[1].relativeError).toBeGreaterThan(0.01);
    expect(rows[1].cosine).toBeGreaterThan(0.5);
    expect(rows[3]).toMatchObject({ cosine: null, relativeError: 1, products: 0 });
    expect(rows[4].error).toContain("η or μ is a hyperparameter");
    for (const { ms, bytes, memory, error } of rows) {
      if (error !== undefined) continue;
      expect(ms).toBeGreaterThan(0);
      expect(bytes).toBe(memory.total);
    }
  });

  test("check agrees where the derivatives are right, and ends with 1 where they are not", async () => {
    const flags = ["check", fixture, "--json", "--runtime", runtime];
    const [right, wrong] = await Promise.all([hypergrad(flags), hypergrad([...flags, "--lie"])]);
    expect(lastLine(right.stdout)).toMatchObject({ verdict: "agrees", problem: { steps: 6 } });
    expect(right.code).toBe(0);
    const { verdict, groups } = lastLine(wrong.stdout);
    expect(verdict).toBe("disagrees");
    expect(groups.map((found: { group: string; verdict: string }) => [found.group, found.verdict])).toEqual([
      ["target", "disagrees"],
      ["eta", "agrees"],
    ]);
    expect(wrong.code).toBe(1);
  });
});

test("tables for people", async () => {
  const compared = await hypergrad([
    "compare",
    fixture,
    "--estimators",
    "rmd,t1t2,neumann",
    "--repeats",
    "1",
  ]);
  expect(compared.stdout).toMatch(
    /^estimator +cosine +relative error +error of target +error of eta +products/m,
  );
  expect(compared.stdout).toMatch(/^rmd +1\.000000 +0 +0 +0 +6 /m);
  expect(compared.stdout).toMatch(/^neumann\(10\): no result: η or μ/m);
  expect(compared.stderr).toContain("estimator 3/3");
  const checked = await hypergrad(["check", fixture]);
  expect(checked.stdout).toMatch(/^target, element 1 +-?[\d.]+ .* agrees$/m);
  expect(checked.stdout).toMatch(/^eta: agrees$/m);
});

test("a shipped script, by its path and with its flags", async () => {
  const flags = ["--train", "60", "--val", "60", "--test", "10", "--inner-steps", "6", "--repeats", "1"];
  const { code, stdout } = await hypergrad([
    "compare",
    "scripts/hypercleaning.ts",
    "--estimators",
    "rmd,krmd,t1t2,greedy,first-order",
    "--json",
    ...flags,
  ]);
  expect(code).toBe(0);
  expect(stdout.trim().split("\n")).toHaveLength(1);
  const { problem, estimators } = lastLine(stdout);
  expect(problem).toMatchObject({ steps: 6, hyperparameters: 60 });
  expect(estimators.map(({ label }: { label: string }) => label)).toEqual([
    "rmd",
    "krmd(5)",
    "t1t2",
    "greedy(0.9)",
    "first-order",
  ]);
});

test.each([
  [["compare", fixture], "compare needs --estimators LIST"],
  [
    ["compare", fixture, "--estimators", "rmd,nobody"],
    'there is no estimator "nobody": choose from rmd[:activations], krmd:K[:activations]',
  ],
  [["compare", fixture, "--estimators", "krmd:0"], "K is 0"],
  [["compare", fixture, "--estimators", "krmd:7"], "asks for 7 inner steps of 6"],
  [["compare", fixture, "--estimators", "rmd", "--repeats", "few"], '--repeats is "few"'],
  [["compare", fixture, "--estimators", "rmd", "--every", "2"], "--every N needs --until M"],
  [["compare", fixture, "--estimators", "rmd", "--until", "2"], "--until and --rate belong to --every N"],
  [["compare", fixture, "--estimators", "rmd", "--stesp", "3"], '"--stesp"'],
  [["compare", "--estimators", "rmd"], "compare needs a FILE"],
  [["check", fixture, "--steps", "0"], "--steps"],
  [["check", fixture, "--runtime", "bun"], "--runtime is one of node, deno, browser"],
  [["check", "nothing.ts"], "there is no file nothing.ts"],
  [["check", "README.md"], "README.md is no script"],
  [["check", join(root, "src/report/table.ts"), "--stesp", "3"], 'nobody takes "--stesp 3"'],
  [["check", join(root, "src/report/table.ts")], "exports no `problem`: write `export const problem"],
])("%j is exit code 2 and says why", async (argv, why) => {
  const { code, stdout, stderr } = await hypergrad(argv);
  expect(stderr).toContain(why);
  expect(stdout.replace("imported\n", "")).toBe("");
  expect(code).toBe(2);
});

test.each(["compare", "check"])("%s --help", async (command) => {
  const { code, stdout } = await hypergrad([command, "--help"]);
  expect(stdout).toContain(`Usage: hypergrad ${command} FILE`);
  expect(code).toBe(0);
});
