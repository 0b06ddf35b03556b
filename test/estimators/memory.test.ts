import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { checkpointed } from "../../src/estimators/checkpointed.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd } from "../../src/estimators/krmd.ts";
import { type EstimatorName, estimatorNamed, estimatorNames } from "../../src/estimators/named.ts";
import { nystrom } from "../../src/estimators/nystrom.ts";
import { reversible } from "../../src/estimators/reversible.ts";
import { formatBytes, type MemoryReport } from "../../src/gpu/memory.ts";
import { watchBuffers } from "../bilevel/buffers.ts";
import { network, problem, type Setting } from "../bilevel/problems.ts";
import { withGpu } from "../support/gpu.ts";

const horizons = [5, 10, 20, 40];
const table: string[] = [];
const gpu = withGpu((adapter) =>
  [
    `bytes of every estimator against T, on ${adapter}`,
    `  ${"trajectory + adjoint, T =".padEnd(28)}${horizons.map((T) => String(T).padStart(12)).join("")}`,
    ...table,
  ].join("\n"),
);

async function memory(estimator: Estimator, setting: Setting): Promise<MemoryReport> {
  const loop = await OuterLoop.prepare(problem(network, setting), { gpu: gpu(), estimator });
  loop.destroy();
  return loop.memory;
}

/** Bytes of a vector like w of all lanes, and of its slot in a ring, which is aligned. */
const { leaves } = problem(network);
const vector = 4 * leaves.lane.parameters;
const slot = Math.ceil(vector / 256) * 256;
const H = leaves.hyperLayout.size;

/** With momentum μ = 1/3: 20 steps shift 20 log2(3) = 31.7 bits out. */
const setting: Setting = { momentum: 1 / 3, lr: 0.05 };

/** What a stored trajectory takes, beside w, v and α, by DESIGN.md's table. */
const trajectories: Record<EstimatorName, (T: number) => number> = {
  rmd: (T) => T * slot,
  krmd: (T) => Math.min(5, T) * slot,
  checkpointed(T) {
    const every = Math.ceil(Math.sqrt(T));
    return every * slot + Math.ceil(T / every) * 2 * vector;
  },
  // w, v and the bits as whole numbers, w and v at the end, and a vector of full words for every 20 steps.
  reversible: (T) => 5 * vector + Math.floor((T - 1) / 20) * slot,
  // The state before the step at hand.
  fmd: () => slot,
  rtho: () => slot,
  // With the activations of that step: three matrices, aligned each.
  t1t2: () => 4 * slot,
  greedy: () => slot,
  "first-order": () => 0,
  neumann: () => 0,
  cg: () => 0,
  nystrom: () => 0,
  "inexact-gd": () => 0,
  "inexact-hb": () => 0,
  drmad: () => 0,
};

/** ẇ, its gradient's and the velocity's tangent, and α̇ of a column. */
const columns = H * (3 * vector + 4 * Math.ceil(H / 4) * 4);

/**
 * Bytes of g, of adjoints, and of what a solver needs. Sweeps need p and r: as the loss ends in an elementwise step, their
 * H_ww r is summed up as it is computed.
 */
const adjoints: Record<EstimatorName, number> = {
  rmd: 2 * vector,
  krmd: 2 * vector,
  checkpointed: 2 * vector,
  reversible: 2 * vector,
  fmd: vector + columns,
  rtho: vector + columns,
  t1t2: 2 * vector,
  greedy: vector,
  "first-order": 0,
  neumann: 3 * vector,
  cg: 5 * vector,
  // Ten unit vectors and their products, with g and q.
  nystrom: 22 * vector,
  "inexact-gd": 4 * vector,
  "inexact-hb": 4 * vector,
  drmad: 4 * vector,
};

test.each(estimatorNames)("%s: trajectory and adjoint are what the formula says", async (name) => {
  const reports: MemoryReport[] = [];
  for (const steps of horizons) {
    const { estimator } = estimatorNamed(name, {}, steps);
    const report = await memory(estimator, { ...setting, steps });
    expect(report.trajectory ?? 0, `T = ${steps}`).toBe(trajectories[name](steps));
    expect(report.adjoint ?? 0, `T = ${steps}`).toBe(adjoints[name]);
    reports.push(report);
  }
  // Nothing else grows but the step table, a row of 256 bytes a step.
  const rest = reports.map(({ total, trajectory = 0, bookkeeping = 0 }) => total - trajectory - bookkeeping);
  expect(new Set(rest).size).toBe(1);
  const rows = reports.map(({ bookkeeping = 0 }, i) => bookkeeping - 256 * horizons[i]!);
  expect(new Set(rows).size).toBe(1);
  const bytes = reports.map(({ trajectory = 0, adjoint = 0 }) => formatBytes(trajectory + adjoint));
  table.push(`  ${name.padEnd(28)}${bytes.map((text) => text.padStart(12)).join("")}`);
});

test("stored activations take their bytes once for each stored step", async () => {
  const bytes = async (estimator: Estimator, steps: number) =>
    (await memory(estimator, { ...setting, steps })).trajectory ?? 0;
  const store = "activations";
  const each = (await bytes(rmd({ store }), 6)) / 6;
  expect(each).toBeGreaterThan(slot);
  expect(each % 256).toBe(0);
  expect(await bytes(rmd({ store }), 60)).toBe(60 * each);
  expect(await bytes(krmd({ k: 4, store }), 60)).toBe(4 * each);
});

test("each of them allocates what it states", async () => {
  const all = [
    rmd({ store: "activations" }),
    ...estimatorNames.map((name) => estimatorNamed(name, {}, 6).estimator),
    greedy({ gamma: "auto" }),
  ];
  for (const estimator of all) {
    const buffers = watchBuffers(gpu());
    const { total, ...roles } = await memory(estimator, { ...setting, steps: 6 });
    buffers.stop();
    expect(buffers.bytes(), estimator.name).toBe(total);
    expect(
      Object.values(roles).reduce((sum, bytes) => sum + bytes, 0),
      estimator.name,
    ).toBe(total);
  }
});

describe("checkpointed, by the distance of its checkpoints", () => {
  const T = 16;
  /** Vectors of the optimizer's state, and bytes that a stored step takes. */
  const inner: readonly [string, Setting, number, number][] = [
    ["no momentum", {}, 0, slot],
    ["momentum", setting, 1, slot],
    ["η and μ learned", { ...setting, learnRates: true }, 1, 2 * slot],
    ["AdamW", { optimizer: adamW({ lr: 0.1 }) }, 2, slot + Math.ceil((3 * vector) / 256) * 256],
  ];
  test.each(inner)("%s", async (_title, given, state, stored) => {
    for (const every of [1, 2, 3, 4, 8, 15, 16, 20]) {
      const report = await memory(checkpointed({ every }), { ...given, steps: T });
      const segments = Math.ceil(T / every);
      // The states at the segments' starts but the last one's, which is swept at once, and that at the end.
      const saved = segments > 1 ? segments * (1 + state) * vector : 0;
      expect(report.trajectory, `every ${every}`).toBe(Math.min(every, T) * stored + saved);
    }
  });

  test("the default is about √T", async () => {
    const reports: number[] = [];
    for (const steps of [25, 100, 400])
      reports.push((await memory(checkpointed(), { ...setting, steps })).trajectory!);
    expect(reports[1]! / reports[0]!).toBeCloseTo(2, 2);
    expect(reports[2]! / reports[1]!).toBeCloseTo(2, 2);
  });
});

test("krmd is linear in K, nystrom in its rank", async () => {
  const bytes: number[] = [];
  for (const k of [2, 4, 8]) bytes.push((await memory(krmd({ k }), { steps: 10 })).trajectory!);
  expect(bytes).toEqual([2 * slot, 4 * slot, 8 * slot]);
  const ranks: number[] = [];
  for (const rank of [1, 2, 4]) ranks.push((await memory(nystrom({ rank }), { steps: 3 })).adjoint!);
  expect(ranks).toEqual([4 * vector, 6 * vector, 10 * vector]);
});

test("reversible takes the bits that μ shifts out", async () => {
  const spilled = async (momentum: number, steps: number) => {
    const { trajectory } = await memory(reversible(), { momentum, lr: 0.05, steps });
    return (trajectory! - 5 * vector) / slot;
  };
  // 32 bits, one a step; 31.7 in 20 steps; 32 in 8 steps.
  expect(await spilled(0.5, 100)).toBe(Math.floor(99 / 32));
  expect(await spilled(1 / 3, 100)).toBe(Math.floor(99 / 20));
  expect(await spilled(1 / 16, 100)).toBe(Math.floor(99 / 8));
  // 0.152 bits a step: 100 steps fit in a word.
  expect(await spilled(0.9, 100)).toBe(0);
  expect(await spilled(0.9, 400)).toBeLessThanOrEqual(Math.ceil((1.25 * 400 * Math.log2(1 / 0.9)) / 32));
});

test("greedy of measured γ takes one vector more", async () => {
  const [plain, auto] = [
    await memory(greedy({ gamma: 0.9 }), { ...setting, steps: 10 }),
    await memory(greedy({ gamma: "auto" }), { ...setting, steps: 10 }),
  ];
  expect(auto.adjoint! - plain.adjoint!).toBe(vector);
  expect(auto.trajectory).toBe(plain.trajectory);
});
