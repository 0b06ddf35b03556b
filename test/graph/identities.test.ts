import { describe, expect, test } from "vitest";
import { cases } from "../support/cases/all.ts";
import { composite } from "../support/composites.ts";
import { difference, dot, errorsOf, norm } from "../support/errors.ts";
import { type Compiled, compile } from "../support/function.ts";
import { withGpu } from "../support/gpu.ts";
import { reference, type Vector } from "../support/reference.ts";
import { type Sample, sample } from "../support/sample.ts";

const composites = Array.from({ length: 12 }, (_, k) => composite(k + 1));

const gpu = withGpu(
  (adapter) =>
    `${composites.length} random functions: against float64, ⟨Hu, v⟩ = ⟨u, Hv⟩, jvp = ⟨gradient, tangent⟩, ` +
    `central differences of order h², the same bits twice; on ${adapter}`,
);

describe.each(composites.map((kase) => [kase.name, kase] as const))("%s", (_name, kase) => {
  const at = sample(kase);
  const u = at.tangent;
  const v = sample({ ...kase, name: `${kase.name}, another` }).tangent;

  async function withFunction(body: (f: Compiled) => Promise<void>): Promise<void> {
    const f = await compile(gpu(), kase, at);
    try {
      await body(f);
    } finally {
      f.destroy();
    }
  }

  test("agrees with float64", () =>
    withFunction(async (f) => {
      const results = {
        value: await f.value(),
        gradient: await f.gradient(),
        jvp: await f.jvp(u),
        hvp: await f.hvp(u),
      };
      const errors = errorsOf(results, reference(kase, at), "both", at);
      for (const part of ["value", "gradient", "jvp", "hvp"] as const) {
        expect(errors[part], part).toBeLessThanOrEqual(kase.budget[part]);
      }
    }));

  test("⟨Hu, v⟩ = ⟨u, Hv⟩", () =>
    withFunction(async (f) => {
      const hu = flat(await f.hvp(u));
      const hv = flat(await f.hvp(v));
      const gap = Math.abs(dot(hu, flat(v)) - dot(flat(u), hv));
      expect(gap / (norm(hu) * norm(flat(v)))).toBeLessThanOrEqual(kase.budget.hvp);
    }));

  test("jvp = ⟨gradient, tangent⟩", () =>
    withFunction(async (f) => {
      const slopes = await f.jvp(u);
      const gradient = await f.gradient();
      for (let lane = 0; lane < at.lanes; lane++) {
        const [g, d] = [flat(laneOf(gradient, lane, at)), flat(laneOf(u, lane, at))];
        const gap = Math.abs(slopes[lane]! - dot(g, d));
        expect(gap / (norm(g) * norm(d))).toBeLessThanOrEqual(kase.budget.gradient);
      }
    }));

  test("central differences fall as h²", () =>
    withFunction(async (f) => {
      const directions = [u, v, sample({ ...kase, name: `${kase.name}, a third` }).tangent];
      /** Errors of value and gradient differences along all directions. */
      const errorsAt = async (h: number) => {
        const gaps: { value: Float64Array; gradient: Float64Array }[] = [];
        for (const direction of directions) {
          f.set(moved(at.point, direction, h));
          const [ahead, slopeAhead] = [await f.value(), flat(await f.gradient())];
          f.set(moved(at.point, direction, -h));
          const [behind, slopeBehind] = [await f.value(), flat(await f.gradient())];
          f.set(at.point);
          const quotient = (p: ArrayLike<number>, q: ArrayLike<number>) =>
            difference(p, q).map((d) => d / (2 * h));
          gaps.push({
            value: difference(quotient(ahead, behind), await f.jvp(direction)),
            gradient: difference(quotient(slopeAhead, slopeBehind), flat(await f.hvp(direction))),
          });
        }
        return {
          value: norm(...gaps.map(({ value }) => value)),
          gradient: norm(...gaps.map(({ gradient }) => gradient)),
        };
      };
      // Steps at which the truncation error stands far above rounding; the value's differences lose more digits.
      const [coarse, middle, fine] = [await errorsAt(1 / 16), await errorsAt(1 / 32), await errorsAt(1 / 64)];
      for (const order of [
        Math.log2(coarse.value / middle.value),
        Math.log2(middle.gradient / fine.gradient),
      ]) {
        expect(order).toBeGreaterThan(1.7);
        expect(order).toBeLessThan(2.3);
      }
    }));
});

const reducing = ["sum of 5000 elements", "cross-entropy of 70×37, weighted by α", "gather of rows"];

test.each(
  [...composites.slice(0, 3), ...cases.filter(({ name }) => reducing.includes(name))].map(
    (kase) => [kase.name, kase] as const,
  ),
)("the same bits twice: %s", async (_name, kase) => {
  const at = sample(kase);
  const runs: Vector[] = [];
  for (let build = 0; build < 2; build++) {
    const f = await compile(gpu(), kase, at);
    for (let run = 0; run < 2; run++) {
      const scalars = {
        value: Float64Array.from(await f.value()),
        jvp: Float64Array.from(await f.jvp(at.tangent)),
      };
      const vectors = { gradient: flat(await f.gradient()), hvp: flat(await f.hvp(at.tangent)) };
      runs.push({ ...scalars, ...vectors });
    }
    f.destroy();
  }
  for (const run of runs.slice(1)) expect(run).toEqual(runs[0]);
});

function flat(vector: Vector): Float64Array {
  return Float64Array.from(Object.values(vector).flatMap((part) => [...part]));
}

function laneOf(vector: Vector, lane: number, { lanes }: Sample): Vector {
  const entries = Object.entries(vector).map(([name, part]) => {
    const count = part.length / lanes;
    return [name, part.subarray(lane * count, (lane + 1) * count)] as const;
  });
  return Object.fromEntries(entries);
}

function moved(point: Vector, direction: Vector, h: number): Vector {
  const entries = Object.entries(point).map(
    ([name, part]) => [name, part.map((value, i) => value + h * direction[name]![i]!)] as const,
  );
  return Object.fromEntries(entries);
}
