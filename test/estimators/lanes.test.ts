import { expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { cg } from "../../src/estimators/cg.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { estimatorNamed, estimatorNames } from "../../src/estimators/named.ts";
import { reversible } from "../../src/estimators/reversible.ts";
import { type Values, values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { network, problem, quadratic } from "../bilevel/problems.ts";
import { norm, numbers, relativeError } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";
import { plus } from "./dense.ts";

const steps = 5;
const estimators: readonly [string, Estimator][] = [
  ...estimatorNames.map((name): [string, Estimator] => [name, estimatorNamed(name, {}, steps).estimator]),
  ["greedy(auto)", greedy({ gamma: "auto" })],
  ["cg, warm", cg({ warm: true, iterations: 5 })],
  ["reversible, of coarse range", reversible({ range: 256 })],
];

const gpu = withGpu(
  (adapter) =>
    `${estimators.length} estimators on three lanes that differ, against each on its own, on ${adapter}`,
);

test.each(estimators)("%s: h is the mean, and every w its own", async (name, estimator) => {
  for (const kind of [quadratic, network]) {
    const random = new Random(8);
    const { parameters } = kind.losses();
    const starts = [0, 1, 2].map(() =>
      Object.fromEntries(
        Object.entries(parameters).map(([key, { shape, data }]) => [
          key,
          values(
            data.map((value) => value + 0.5 * random.normal()),
            shape,
          ),
        ]),
      ),
    );
    const from = async (w: Record<string, Values>, lanes: number) => {
      const stated = problem(kind, { steps, momentum: 0.5, lr: 0.3, lanes });
      const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator });
      loop.setParameters(w);
      const [entry] = await loop.step({ restart: false });
      const found = { h: numbers(await loop.hypergradient()), w: await loop.parameters(), entry: entry! };
      loop.destroy();
      return found;
    };
    const together = Object.keys(parameters).map((key) => {
      const all = starts.map((start) => start[key]!);
      return [
        key,
        values(Float32Array.from(all.flatMap(({ data }) => [...data])), [3, ...all[0]!.shape]),
      ] as const;
    });
    const laned = await from(Object.fromEntries(together), 3);
    const own = [];
    for (const start of starts) own.push(await from(start, 1));

    const mean = own.reduce(
      (sum, { h }) => plus(sum, 1 / 3, h),
      laned.h.map(() => 0),
    );
    expect(relativeError(laned.h, mean)).toBeLessThan(2e-6);
    const loss = own.reduce((sum, { entry }) => sum + entry.outerLoss / 3, 0);
    expect(laned.entry.outerLoss / loss).toBeCloseTo(1, 5);
    // The lanes are not alike, or the mean would say nothing.
    if (name !== "first-order" && norm(mean) > 0)
      expect(relativeError(own[0]!.h, own[1]!.h)).toBeGreaterThan(1e-2);
    for (const [key, { data }] of Object.entries(laned.w)) {
      expect([...data]).toEqual(own.flatMap(({ w }) => [...w[key]!.data]));
    }
    expect(laned.entry.solves).toEqual(laned.entry.solves && own.flatMap(({ entry }) => entry.solves!));
  }
});
