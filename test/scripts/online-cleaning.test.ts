import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { conjugateGradients, heavyBall, length } from "../../scripts/common/iterate.ts";
import { type HypergradOptions, hypergrad } from "../cli/launcher.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-online-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** As many images of each kind, so that a kernel for one serves the others. */
const small = ["--train", "64", "--val", "64", "--test", "64", "--outer-lr", "30"];

const run = (flags: readonly string[], out = "out", options?: HypergradOptions) =>
  hypergrad(["run", "online-cleaning", ...small, "--out", join(folder, out), ...flags], options);

interface Point {
  method: string;
  epsilon: number;
  delta: number;
  outerSteps: number;
  work: number;
  spent: Record<"innerGradients" | "outerGradients" | "hessianProducts" | "mixedProducts", number>;
  validationLoss: number;
  testAccuracy: number;
  bestF1: number;
  error: number;
  bound: { bound: number };
  hypergradientNorm: number;
  curve: [number, number][];
}

const resultOf = (stdout: string) => JSON.parse(stdout.trim().split("\n").at(-1)!);

describe("iterations", () => {
  const curvature = [4, 1, 0.25];
  const g = Float32Array.of(1, -2, 3);
  let calls = 0;
  const product = async (x: Float32Array) => {
    calls++;
    return x.map((value, i) => curvature[i]! * value);
  };
  const solution = [...g].map((value, i) => value / curvature[i]!);
  const stop = { tolerance: 1e-4, limit: 200 };

  test("conjugate gradients end after as many products as there are curvatures", async () => {
    calls = 0;
    const solved = await conjugateGradients(product, g, stop);
    expect(solved).toMatchObject({ converged: true, evaluations: 3 });
    expect(calls).toBe(3);
    solved.x.forEach((value, i) => {
      expect(value).toBeCloseTo(solution[i]!, 4);
    });
  });

  test.each([
    ["gradient descent", { step: 2 / 4.25, momentum: 0 }],
    ["heavy ball", { step: (2 / 2.5) ** 2, momentum: 0.36 }],
  ])("%s stops at its tolerance, and counts what it evaluates", async (_name, by) => {
    calls = 0;
    const residual = async (x: Float32Array) => (await product(x)).map((value, i) => value - g[i]!);
    const solved = await heavyBall(residual, new Float32Array(3), { ...by, ...stop });
    expect(solved.converged).toBe(true);
    expect(solved.norm).toBeLessThanOrEqual(stop.tolerance);
    expect(length(await residual(solved.x))).toBe(solved.norm);
    expect(calls - 1).toBe(solved.evaluations);
    const first = g.map((value) => -value);
    const known = await heavyBall(residual, new Float32Array(3), { ...by, ...stop, first });
    expect(known.evaluations).toBe(solved.evaluations - 1);
    expect([...known.x]).toEqual([...solved.x]);
    const cut = await heavyBall(residual, new Float32Array(3), { ...by, ...stop, limit: 5 });
    expect(cut).toMatchObject({ converged: false, evaluations: 5 });
  });
});

test("with equal work conjugate gradients come further than heavy ball, and that than gradient descent", async () => {
  const figure = join(folder, "curves.svg");
  const { code, stdout, stderr } = await run(["--work", "450", "--figure", figure, "--json"]);
  expect(code, stderr).toBe(0);
  const { points, ...about }: { points: Point[]; wrong: number } = resultOf(stdout);
  expect(about).toMatchObject({ data: "glyphs", train: 64, work: 450, noise: 0.1 });
  console.log(
    points.map(({ method, outerSteps, validationLoss, error }) =>
      [method, outerSteps, validationLoss, error].join(" "),
    ),
  );
  expect(points.map(({ method }) => method)).toEqual(["cg", "gd", "hb"]);
  for (const { method, work, spent, outerSteps, curve, ...point } of points) {
    expect(work, method).toBeLessThanOrEqual(450);
    expect(work, method).toBeGreaterThan(450 - 4);
    const { innerGradients, outerGradients, hessianProducts, mixedProducts } = spent;
    expect(innerGradients + outerGradients + hessianProducts + mixedProducts).toBe(work);
    expect([outerGradients, mixedProducts]).toEqual([outerSteps, outerSteps]);
    expect(curve).toHaveLength(outerSteps);
    expect(curve.at(-1)).toEqual([work, point.validationLoss]);
    expect(curve.every(([at], i) => i === 0 || at > curve[i - 1]![0])).toBe(true);
    expect(point.bound.bound).toBeGreaterThan(point.error * point.hypergradientNorm);
  }
  const [cg, gd, hb] = points.map(({ validationLoss }) => validationLoss) as [number, number, number];
  expect(cg).toBeLessThan(hb);
  expect(hb).toBeLessThan(gd);
  // All begin at the same place.
  expect(new Set(points.map(({ curve }) => curve[0]![1])).size).toBe(1);
  expect(await readFile(figure, "utf8")).toContain(">IFT+CG<");
});

test("a stricter δ makes the hypergradient better and dearer", async () => {
  const flags = ["--work", "350", "--methods", "cg", "--delta", "0.5,0.01", "--json"];
  const { code, stdout, stderr } = await run(flags);
  expect(code, stderr).toBe(0);
  const [loose, strict] = resultOf(stdout).points as [Point, Point];
  expect([loose.delta, strict.delta]).toEqual([0.5, 0.01]);
  const each = ({ spent, outerSteps }: Point) => spent.hessianProducts / outerSteps;
  expect(each(strict)).toBeGreaterThan(2 * each(loose));
  expect(strict.error).toBeLessThan(loose.error);
});

test("Ctrl-C and --resume come to the same numbers as one run", async () => {
  const flags = ["--methods", "cg", "--json"];
  let sent = false;
  const broken = await run([...flags, "--work", "1000000"], "broken", {
    onNote(text, child) {
      if (!sent && /work [1-9]/.test(text)) sent = child.kill("SIGINT");
    },
  });
  expect(broken.code, broken.stderr).toBe(130);
  const [{ work }] = resultOf(broken.stdout).points as [Point];
  const longer = [...flags, "--work", String(work + 200)];
  const resumed = await run([...longer, "--resume"], "broken");
  expect(resumed.stderr).toContain("going on after outer step");
  const [point] = resultOf(resumed.stdout).points as [Point];
  expect(point.work).toBeGreaterThan(work);
  expect(point).toEqual(resultOf((await run(longer, "whole")).stdout).points[0]);
});

test("a run that is given more work does the step that was cut short anew", async () => {
  const flags = ["--methods", "hb", "--json"];
  const short = await run([...flags, "--work", "300"], "more");
  const resumed = await run([...flags, "--work", "500", "--resume"], "more");
  const [before, after] = [short, resumed].map(({ stdout }) => resultOf(stdout).points[0] as Point);
  expect(resumed.stderr).toContain(`going on after outer step ${before!.outerSteps - 1}`);
  const whole = await run([...flags, "--work", "500"], "at once");
  expect(after).toEqual(resultOf(whole.stdout).points[0]);
});

test.each([
  [["--methods", "cg,fista"], "--methods"],
  [["--delta", "1"], "--delta"],
  [["--work", "3"], "--work 3 is too little"],
  [["--epsilon", "0"], "--epsilon"],
  [["--noise", "0.95"], "--noise"],
  [["--log", "l.jsonl"], "--checkpoint and --log name the file of one row"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
