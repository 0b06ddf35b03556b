import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { gradientDescent } from "../../src/bilevel/outer_optimizer.ts";
import type { Problem } from "../../src/bilevel/problem.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { fmd, rtho } from "../../src/estimators/fmd.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { Random } from "../../src/random.ts";
import {
  hypercleaning,
  type Kind,
  named,
  network,
  normal,
  problem,
  quadratic,
  quadraticData,
  type Setting,
} from "../bilevel/problems.ts";
import { outerLoss, run } from "../bilevel/quadratic_reference.ts";
import { along, bits, dot, numbers, relativeError } from "../bilevel/vectors.ts";
import { decode, type GoldenCase, goldenFolder, readFolder } from "../support/golden.ts";
import { goldenProblem } from "../support/golden_problems.ts";
import { withGpu } from "../support/gpu.ts";

const table: string[] = [];
const gpu = withGpu((adapter) => [`real-time forward mode (rtho), on ${adapter}`, ...table].join("\n"));

/** h after each of `loops` inner loops that go on from one another while α stands still. */
async function standing(stated: Problem, loops: number): Promise<number[][]> {
  const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator: rtho() });
  const found: number[][] = [];
  for (let m = 0; m < loops; m++) {
    await loop.step({ restart: m === 0 });
    found.push(numbers(await loop.hypergradient()));
  }
  loop.destroy();
  return found;
}

const cases: readonly [Kind, string, Setting][] = [
  [quadratic, "no momentum", {}],
  [quadratic, "μ = 0.9", { momentum: 0.9 }],
  [hypercleaning, "μ = 0.9", { momentum: 0.9, lr: 0.3 }],
  [network, "no momentum", { lr: 0.3 }],
  [network, "η and μ learned", { momentum: 0.6, learnRates: true }],
  [network, "w_0 learned", { momentum: 0.6, learnStart: true }],
];

describe.each(named(cases))("α stands still: %s", (name, kind, setting) => {
  test("m loops of Δ steps give the exact hypergradient of mΔ steps", async () => {
    let worst = 0;
    for (const [loops, steps] of [
      [4, 3],
      [3, 1],
    ] as const) {
      const found = await standing(problem(kind, { ...setting, steps }), loops);
      for (const [index, h] of found.entries()) {
        const whole = problem(kind, { ...setting, steps: steps * (index + 1) });
        const exact = await hypergradient(whole, { gpu: gpu(), estimator: rmd() });
        worst = Math.max(worst, relativeError(h, numbers(exact.hypergradient)));
      }
    }
    table.push(`  ${name}: relative error to rmd over all steps ${worst.toExponential(1)}`);
    expect(worst).toBeLessThan(2e-5);
  });
});

test("with AdamW, whose moments start anew in each loop: a central difference of E", async () => {
  // With a small ε the first step of a loop is as good as the sign of the gradient, which has no slope.
  const optimizer = adamW({ lr: 0.1, weightDecay: 0.05, epsilon: 0.05 });
  const setting: Setting = { steps: 3, optimizer };
  const stated = () => problem(network, setting);
  const direction = new Random(6);
  const d = Object.fromEntries(
    Object.entries(stated().hyper).map(([name, { shape }]) => [name, normal(direction, shape)]),
  );
  const h = (await standing(stated(), 3)).at(-1)!;
  const loop = await OuterLoop.prepare(stated(), { gpu: gpu(), estimator: firstOrder() });
  const lossAt = async (step: number) => {
    loop.setHyper(along(stated().hyper, step, d));
    for (const restart of [true, false]) await loop.step({ restart });
    const [entry] = await loop.step({ restart: false });
    return entry!.outerLoss;
  };
  const width = 0.02;
  const difference = ((await lossAt(width)) - (await lossAt(-width))) / (2 * width);
  loop.destroy();
  const slope = dot(h, numbers(d));
  table.push(`  AdamW, 3 loops: ⟨h, d⟩ ${slope.toFixed(6)}, central difference ${difference.toFixed(6)}`);
  expect(Math.abs(slope / difference - 1)).toBeLessThan(2e-3);
});

test("a restart forgets the Jacobian", async () => {
  const stated = () => problem(network, { momentum: 0.9, steps: 3 });
  const loop = await OuterLoop.prepare(stated(), { gpu: gpu(), estimator: rtho() });
  for (const restart of [true, false, false, true]) await loop.step({ restart });
  const again = await loop.hypergradient();
  loop.destroy();
  const { hypergradient: first } = await hypergradient(stated(), { gpu: gpu(), estimator: fmd() });
  expect(bits(again)).toBe(bits(first));
});

test("FMD knows nothing of an earlier loop: warm, it takes w for a constant", async () => {
  const of = async (estimator: ReturnType<typeof fmd>) => {
    const loop = await OuterLoop.prepare(problem(quadratic, { momentum: 0.5 }), { gpu: gpu(), estimator });
    for (const restart of [true, false]) await loop.step({ restart });
    const h = numbers(await loop.hypergradient());
    loop.destroy();
    return h;
  };
  const [forward, reverse, carried] = [await of(fmd()), await of(rmd()), await of(rtho())];
  // Reverse mode with a restart velocity that is a constant too.
  expect(relativeError(forward, reverse)).toBeLessThan(2e-6);
  expect(relativeError(carried, reverse)).toBeGreaterThan(1e-2);
});

test.each([0, 0.9])(
  "α moves after each loop, as in the paper: float64 on the quadratic, μ = %d",
  async (momentum) => {
    const { a, b, target, penalty } = quadraticData;
    const [lr, steps, rate] = [0.1, 4, 0.2];
    const loop = await OuterLoop.prepare(problem(quadratic, { momentum, steps, lr }), {
      gpu: gpu(),
      estimator: rtho(),
      optimizer: gradientDescent({ lr: rate }),
    });
    // dw/dα and dv/dα do not depend on α here, so they go on as if it had never moved.
    let alpha: number[] = [...quadraticData.alpha];
    let state: { w: number[]; v: number[] } | undefined;
    let dw = target.map(() => alpha.map(() => 0));
    let dv = dw;
    for (let m = 0; m < 6; m++) {
      const [entry] = await loop.step({ restart: m === 0 });
      const inner = run(alpha, { lr, momentum, steps }, state);
      state = { w: inner.w[steps]!, v: inner.v[steps]! };
      for (let t = 0; t < steps; t++) {
        const old = dw;
        dv = dv.map((row, i) =>
          row.map(
            (value, c) =>
              momentum * value + a[i]!.reduce<number>((s, x, j) => s + x * old[j]![c]!, 0) - b[i]![c]!,
          ),
        );
        dw = old.map((row, i) => row.map((value, c) => value - lr * dv[i]![c]!));
      }
      const g = state.w.map((value, i) => value - target[i]!);
      const h = alpha.map(
        (value, c) => penalty * value + g.reduce((s, value, i) => s + value * dw[i]![c]!, 0),
      );
      expect(relativeError(numbers(await loop.hypergradient()), h)).toBeLessThan(5e-6);
      expect(entry!.outerLoss / outerLoss(state.w, alpha)).toBeCloseTo(1, 5);
      alpha = alpha.map((value, c) => value - rate * h[c]!);
    }
    loop.destroy();
  },
);

const folder = goldenFolder();
if (folder === undefined) console.log("golden rtho entries: none beside the repository; skipped");

test.skipIf(folder === undefined)(
  "golden entries: in one loop of t steps, and in several",
  async () => {
    let covered = 0;
    let worst = { error: 0, name: "" };
    for (const golden of readFolder<GoldenCase>(folder!, "cases")) {
      // A schedule is as long as the loop, so it says nothing of shorter ones; many columns take long.
      const schedules = [golden.alpha0.eta, golden.alpha0.mu].some((group) => (group?.shape[0] ?? 1) > 1);
      const columns = Object.values(golden.alpha0).reduce(
        (sum, { shape }) => sum + shape.reduce((n, x) => n * x, 1),
        0,
      );
      if (schedules || columns > 24) continue;
      for (const { method, params, h } of golden.methods) {
        const t = Number(params.t);
        if (method !== "rtho" || t > 25) continue;
        const wanted = Object.values(h).flatMap((encoded) => [...decode(encoded).data]);
        const loops = [2, 3, 5, 7].find((count) => t % count === 0) ?? 1;
        for (const parts of new Set([1, loops])) {
          const stated = goldenProblem({ ...golden, T: t / parts });
          if (stated === undefined) continue;
          const found = (await standing(stated, parts)).at(-1)!;
          const error = relativeError(found, wanted);
          const name = `${golden.file}, t = ${parts} × ${t / parts}`;
          if (error > worst.error) worst = { error, name };
          expect(error, name).toBeLessThan(1e-4);
          covered++;
        }
      }
    }
    table.push(`  ${covered} golden runs, worst ${worst.error.toExponential(1)} at ${worst.name}`);
    expect(covered).toBeGreaterThan(0);
  },
  600_000,
);
