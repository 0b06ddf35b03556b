import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { firstStepRate, type ToyPoint, toyPath } from "../../scripts/common/toy.ts";
import { gradientDescent } from "../../src/index.ts";
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

const report: string[] = [];
const gpu = withGpu((adapter) => [`golden trajectories on ${adapter}`, ...report].join("\n"));

/** Dispatches cost the time, so long inner loops are followed for fewer outer steps. */
const followed = (innerSteps: number) => Math.ceil(1200 / innerSteps);

/**
 * Largest absolute differences allowed to float32. Cosine and relative error are compared where both vectors are at
 * least 1 long: the direction of a vanishing one is rounding.
 */
const TOLERANCE = { alpha: 1e-4, loss: 2e-4, h: 1e-3, cosine: 1e-4, relativeError: 1e-3 };

test.each(trajectories)("$file is followed", async (golden) => {
  const options = {
    outerLoss: golden.outer_loss === "f" ? "f" : "f-tilde",
    innerSteps: golden.T,
    innerLr: golden.inner_eta,
    start: golden.start === "cold" ? "restart" : "warm",
  } as const;
  const outerSteps = Math.min(followed(golden.T), golden.outer_steps);
  for (const run of golden.runs) {
    const estimator = estimatorOf(run);
    if (estimator === undefined) continue;
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
