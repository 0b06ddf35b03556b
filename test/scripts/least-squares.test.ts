import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { leastSquares } from "../../scripts/common/least_squares.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { hypergrad } from "../cli/launcher.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `least squares: analytic hypergradient, error against work, on ${adapter}`);

const run = async (flags: readonly string[], own: readonly string[] = []) => {
  const ended = await hypergrad(["run", "least-squares", ...own, ...flags]);
  return { ...ended, result: () => JSON.parse(ended.stdout.trim().split("\n").at(-1)!) };
};

const small = ["--parameters", "12", "--hyper", "5", "--condition", "10"];

interface Point {
  curve: string;
  work: number;
  innerSteps: number;
  products: number;
  relativeError: number;
  bound?: number;
}

/** What float32 rounds in h, relative to it. */
const ROUNDING = 2e-6;

test("the analytic hypergradient is the slope of E at the minimiser", async () => {
  const known = leastSquares({ parameters: 12, hyper: 1, condition: 4, seed: 3 });
  const problem = known.problem({ steps: 100, lr: 0.8, momentum: 0 });
  // E is quadratic in θ, so a central difference has no error of its own.
  const at = async (shift: number) => {
    const theta = { shape: [1, 1], data: problem.hyper.theta.data.map((value) => value + shift) };
    const shifted = { ...problem, hyper: { theta } };
    return (await hypergradient(shifted, { gpu: gpu(), estimator: firstOrder() })).outerLoss;
  };
  const slope = ((await at(1)) - (await at(-1))) / 2;
  expect(Math.abs(slope - known.hypergradient[0]!)).toBeLessThan(1e-4 * Math.abs(known.hypergradient[0]!));
});

test("every estimator but greedy comes to the analytic hypergradient, the accelerated ones sooner", async () => {
  const { code, result } = await run([...small, "--work", "30", "--work", "120", "--json"]);
  const points: Point[] = result().points;
  const error = (curve: string, work: number) =>
    points.find((point) => point.curve === curve && point.work === work)!.relativeError;
  const curves = [...new Set(points.map(({ curve }) => curve))];
  console.log(curves.map((curve) => `${curve}: ${error(curve, 30)} → ${error(curve, 120)}`).join("\n"));
  expect(curves).toEqual(expect.arrayContaining(["rmd", "neumann", "AD+GD", "AD+HB", "IFT+CG"]));
  for (const { innerSteps, products, work } of points) {
    expect(innerSteps + products).toBeLessThanOrEqual(work);
    expect(innerSteps + products).toBeGreaterThan(work - 3);
  }
  for (const curve of curves.filter((name) => !name.startsWith("greedy"))) {
    expect(error(curve, 120), curve).toBeLessThan(2e-3);
    expect(error(curve, 120), curve).toBeLessThan(error(curve, 30));
  }
  for (const curve of ["rmd, heavy ball", "AD+HB", "IFT+CG"]) {
    expect(error(curve, 120), curve).toBeLessThan(1e-5);
    expect(error(curve, 30), curve).toBeLessThan(error("rmd", 30) / 3);
  }
  // All second derivatives are constant.
  for (const curve of ["neumann", "AD+GD"]) expect(error(curve, 30)).toBeCloseTo(error("rmd", 30), 4);
  expect(code).toBe(0);
});

test("the implicit estimators' errors are below their bounds, at each point of the figure", async () => {
  const cwd = await mkdtemp(join(tmpdir(), "hypergrad-least-squares-"));
  try {
    const work = [8, 16, 32, 64, 128].flatMap((budget) => ["--work", String(budget)]);
    const file = ["--figure", join(cwd, "curves.svg")];
    const { code, stderr, result } = await run([...small, ...work, ...file, "--json"]);
    expect(code, stderr).toBe(0);
    const { points, figure }: { points: Point[]; figure: string } = result();
    const bounded = points.filter(({ bound }) => bound !== undefined);
    expect(new Set(bounded.map(({ curve }) => curve))).toEqual(
      new Set(["neumann", "AD+GD", "AD+HB", "IFT+CG"]),
    );
    expect(bounded).toHaveLength(20);
    for (const { curve, work, relativeError, bound } of bounded) {
      expect(bound! + ROUNDING, `${curve}, ${work}`).toBeGreaterThanOrEqual(relativeError);
      // Looser than its constants make it, the bound would still hold, but be of no use.
      if (relativeError > 1e-4) expect(bound!, `${curve}, ${work}`).toBeLessThan(300 * relativeError);
    }
    console.log(
      `bound over error: ${bounded.map((point) => `${point.curve} ${point.work}: ${(point.bound! / point.relativeError).toFixed(0)}`).join(", ")}`,
    );
    expect(figure).toBe(file[1]);
    const svg = await readFile(figure, "utf8");
    for (const text of ["AD+HB", "rmd, heavy ball", "a-posteriori bound", "inner steps + products"]) {
      expect(svg).toContain(`>${text}<`);
    }
    expect(svg.match(/<path d="[^"]*" stroke="[^"]*" stroke-width="1.5" stroke-dasharray/g)).toHaveLength(4);
  } finally {
    await rm(cwd, { recursive: true });
  }
});

test.each(["deno", "browser"])(
  "in %s it gives the same numbers as in Node, but for rounding",
  async (runtime) => {
    const flags = [...small, "--work", "20", "--json"];
    const [here, there] = await Promise.all([run(flags), run(flags, ["--runtime", runtime])]);
    const [points, expected] = [there.result().points as Point[], here.result().points as Point[]];
    expect(points.length).toBe(expected.length);
    points.forEach((point, i) => {
      expect(point.relativeError).toBeCloseTo(expected[i]!.relativeError, 4);
    });
  },
);

test("prints a table", async () => {
  const { code, stdout } = await run([...small, "--work", "8"]);
  expect(stdout).toMatch(/^IFT\+CG +\d\.\de[+-]\d$/m);
  expect(code).toBe(0);
});

test("--help lists the flags", async () => {
  const { code, stdout } = await run(["--help"]);
  for (const text of ["--parameters P", "--condition KAPPA", "--work N"]) expect(stdout).toContain(text);
  expect(code).toBe(0);
});

test.each([
  [["--condition", "0.5"], "--condition"],
  [["--work", "3"], "--work 3 is too little"],
  [["--parameters", "0"], "--parameters"],
  [["--estimator", "rmd"], "--estimator"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
