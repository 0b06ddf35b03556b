import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { firstStepRate, type ToyPoint, toyPath } from "../../scripts/common/toy.ts";
import { cg, type Estimator, gradientDescent } from "../../src/index.ts";
import { hypergrad } from "../cli/launcher.ts";
import { type GoldenMethod, goldenFolder, readFolder } from "../support/golden.ts";
import { estimatorOf } from "../support/golden_estimators.ts";
import { withGpu } from "../support/gpu.ts";

/** A whole outer optimisation by an independent float64 implementation. */
interface Trajectory {
  outer_loss: "f" | "f_tilde";
  T: number;
  start: "cold" | "warm";
  inner_eta: number;
  outer_rule: "sgd" | "shaban";
  outer_lr: number | null;
  outer_steps: number;
  runs: (Pick<GoldenMethod, "method" | "params"> &
    Record<"alpha" | "h" | "exact", number[][]> &
    Record<"L_out" | "cosine" | "rel_err", number[]>)[];
}

const folder = goldenFolder();
const there = folder !== undefined && existsSync(join(folder, "trajectories"));
const trajectories = there ? readFolder<Trajectory>(folder, "trajectories") : [];
if (!there) console.log("golden trajectories: none; skipped");

/** Thousands of outer steps that the host waits for one by one. */
const LONG = 400_000;

const report: string[] = [];
const gpu = withGpu((adapter) => [`golden trajectories on ${adapter}`, ...report].join("\n"));

/** Dispatches cost the time, so long inner loops are followed for fewer outer steps. */
const followed = (innerSteps: number) => Math.ceil(200 / innerSteps);

/** On two parameters conjugate gradients are the dense solve of the golden files. */
const estimatorFor = (run: Trajectory["runs"][number]): Estimator =>
  run.method === "ift_direct" ? cg({ iterations: 4, tolerance: 1e-7 }) : estimatorOf(run)!;

/**
 * Largest absolute differences allowed to float32. Cosine and relative error are compared where both vectors are at
 * least 1 long: the direction of a vanishing one is rounding.
 */
const TOLERANCE = { alpha: 1e-4, loss: 2e-4, h: 1e-3, cosine: 1e-4, relativeError: 1e-3 };

test.each(trajectories)("$file is followed", { timeout: LONG }, async (golden) => {
  const options = {
    outerLoss: golden.outer_loss === "f" ? "f" : "f-tilde",
    innerSteps: golden.T,
    innerLr: golden.inner_eta,
    start: golden.start === "cold" ? "restart" : "warm",
  } as const;
  const outerSteps = Math.min(followed(golden.T), golden.outer_steps);
  for (const run of golden.runs) {
    const estimator = estimatorFor(run);
    const optimizer =
      golden.outer_rule === "sgd"
        ? gradientDescent({ lr: golden.outer_lr! })
        : gradientDescent({ lr: await firstStepRate(gpu(), options, estimator, 0.6), decay: "sqrt" });
    const worst = { alpha: 0, loss: 0, h: 0, cosine: 0, relativeError: 0 };
    let step = 0;
    for await (const point of toyPath(gpu(), { ...options, estimator, optimizer, outerSteps })) {
      for (const [name, difference] of differences(point, run, step++)) {
        worst[name] = Math.max(worst[name], difference);
      }
    }
    const name = `${run.method}(${Object.values(run.params).join()})`;
    report.push(
      `  ${golden.file} ${name}: ${Object.entries(worst)
        .map(([what, difference]) => `${what} ${difference.toExponential(1)}`)
        .join(", ")}`,
    );
    for (const [what, difference] of Object.entries(worst)) {
      expect(difference, `${name}: ${what}`).toBeLessThan(TOLERANCE[what as keyof typeof TOLERANCE]);
    }
    expect(step).toBe(outerSteps + 1);
  }
});

test("prints a table", async () => {
  const { code, stdout } = await hypergrad(["run", "toy", "--outer-steps", "3", "--estimator", "t1t2"]);
  expect(stdout).toMatch(
    /^outer step +outer loss +cosine +relative error +α\n0 +20\.77 +0\.9912 +0\.8934 +\(1\.0000, 1\.0000\)$/m,
  );
  expect(stdout.match(/^\d+ /gm)).toEqual(["0 ", "1 ", "2 ", "3 "]);
  expect(code).toBe(0);
});

test("--json gives whole paths, and the outer loss f-tilde has a gradient of its own", async () => {
  const flags = [
    "--outer-loss",
    "f-tilde",
    "--start",
    "warm",
    "--estimator",
    "first-order",
    "--outer",
    "shaban",
  ];
  const { code, stdout } = await hypergrad([
    "run",
    "scripts/toy.ts",
    ...flags,
    "--outer-steps",
    "2",
    "--json",
  ]);
  const result = JSON.parse(stdout.trim().split("\n").at(-1)!);
  expect(result).toMatchObject({ estimator: "first-order", start: "warm", outer: "shaban", outerSteps: 2 });
  expect(result.alpha).toHaveLength(3);
  // h = 10 (α - (1, 0)), and the first step is 0.6 long.
  expect(result.hypergradient[0]).toEqual([0, 10]);
  expect(result.alpha[1][1]).toBeCloseTo(0.4, 6);
  expect(code).toBe(0);
});

interface SeveralRuns {
  figure: string;
  runs: {
    start: string;
    innerSteps: number;
    estimator: string;
    stepsToSolve?: number;
    lastLoss: number;
    leastCosine: number;
    loss: number[];
    cosine: (number | null)[];
  }[];
}

async function severalRuns(flags: readonly string[]): Promise<{ result: SeveralRuns; svg: string }> {
  const cwd = await mkdtemp(join(tmpdir(), "hypergrad-toy-"));
  try {
    const { code, stdout, stderr } = await hypergrad(
      ["run", "toy", "--figure", "toy.svg", "--json", ...flags],
      { cwd },
    );
    expect(code, stderr).toBe(0);
    const svg = await readFile(join(cwd, "toy.svg"), "utf8");
    return { result: JSON.parse(stdout.trim().split("\n").at(-1)!), svg };
  } finally {
    await rm(cwd, { recursive: true });
  }
}

test("at T = 20 a warm start gives greedy the ranking of its paper, and a restart lets it stall", {
  timeout: LONG,
}, async () => {
  const { result, svg } = await severalRuns([
    "--horizons",
    "20",
    "--estimators",
    "rmd,greedy:0.9,neumann:5,t1t2",
    "--outer-steps",
    "40",
  ]);
  const row = (start: string, estimator: string) =>
    result.runs.find((run) => run.start === start && run.estimator === estimator)!;
  const steps = ["rmd", "greedy(0.9)", "neumann(5)", "t1t2"].map((name) => row("warm", name).stepsToSolve);
  expect(steps).toEqual([5, 7, 5, 34]);
  expect(row("restart", "greedy(0.9)").stepsToSolve).toBeUndefined();
  expect(row("restart", "greedy(0.9)").lastLoss).toBeCloseTo(3.1, 2);
  expect(row("restart", "t1t2").lastLoss).toBeCloseTo(0.444, 3);
  expect(row("restart", "rmd").lastLoss).toBeLessThan(1e-12);
  // Its paper's claim about cosines holds with neither start.
  for (const start of ["restart", "warm"]) {
    expect(row(start, "t1t2").leastCosine).toBeGreaterThan(0.98);
    expect(row(start, "greedy(0.9)").leastCosine).toBeLessThan(row(start, "t1t2").leastCosine);
  }
  expect(result.runs).toHaveLength(8);
  for (const { loss } of result.runs) expect(loss).toHaveLength(41);
  expect(result.figure).toBe("toy.svg");
  for (const text of [
    "restart, T = 20",
    "warm, T = 20",
    "validation loss",
    "cosine to exact",
    "neumann(5)",
  ]) {
    expect(svg).toContain(`>${text}<`);
  }
});

test.each(["deno", "browser"])("in %s several runs are drawn, too", async (runtime) => {
  const { result, svg } = await severalRuns([
    ...["--runtime", runtime, "--horizons", "2,4", "--estimators", "t1t2,greedy"],
    ...["--outer-steps", "2", "--start", "warm"],
  ]);
  expect(result.runs.map(({ innerSteps, estimator }) => `${estimator} ${innerSteps}`)).toEqual([
    ...["t1t2 2", "greedy(0.9) 2", "t1t2 4", "greedy(0.9) 4"],
  ]);
  expect(svg).toContain(">warm, T = 4<");
});

test("a figure that cannot be written costs no results", async () => {
  const cwd = await mkdtemp(join(tmpdir(), "hypergrad-toy-"));
  try {
    await mkdir(join(cwd, "x.svg"));
    const flags = ["--figure", "x.svg", "--horizons", "2", "--estimators", "t1t2", "--outer-steps", "1"];
    const { code, stdout, stderr } = await hypergrad(["run", "toy", ...flags, "--start", "warm"], { cwd });
    expect(stdout).toMatch(/^t1t2 +warm +2 /m);
    expect(stdout).not.toContain("figure:");
    expect(stderr).toContain("error: cannot write x.svg: it is a folder");
    expect(code).toBe(1);
  } finally {
    await rm(cwd, { recursive: true });
  }
});

test("several runs without a figure are a table", async () => {
  const { code, stdout } = await hypergrad([
    ...["run", "toy", "--horizons", "2", "--estimators", "t1t2", "--outer-steps", "2"],
  ]);
  expect(stdout).toMatch(/^t1t2 +restart +2 +– +\d\.\de\+1 +0\.99\d\d$/m);
  expect(stdout).toMatch(/^t1t2 +warm /m);
  expect(stdout).not.toContain("figure:");
  expect(code).toBe(0);
});

test.each([
  [["--figure", "x.svg", "--k", "3"], "give --estimators and --horizons"],
  [["--horizons", "5", "--inner-steps", "10"], "give --estimators and --horizons"],
  [["--figure", "x.pdf"], "ends in .svg"],
  [["--horizons", "5,0"], "--horizons"],
  [["--estimators", "rmd,krmd:6"], "give at most 5"],
  [["--estimators", "exact"], 'there is no estimator "exact"'],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await hypergrad(["run", "toy", ...flags]);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});

type Difference = [keyof typeof TOLERANCE, number];

function differences(point: ToyPoint, golden: Trajectory["runs"][number], step: number): Difference[] {
  const exact = golden.exact[step]!;
  const found: Difference[] = [
    ["alpha", furthest(point.alpha, golden.alpha[step]!)],
    ["loss", Math.abs(point.loss - golden.L_out[step]!)],
    ["h", Math.max(furthest(point.hypergradient, golden.h[step]!), furthest(point.exact, exact))],
  ];
  if (Math.min(Math.hypot(...exact), Math.hypot(...point.hypergradient)) < 1) return found;
  return [
    ...found,
    ["cosine", Math.abs(point.cosine - golden.cosine[step]!)],
    ["relativeError", Math.abs(point.relativeError - golden.rel_err[step]!)],
  ];
}

function furthest(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}
