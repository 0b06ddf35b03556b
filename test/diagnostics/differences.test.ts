import { expect, test } from "vitest";
import { extrapolate, noiseOf } from "../../src/diagnostics/differences.ts";
import { Random } from "../../src/random.ts";

const STEPS = { start: 0.5, most: 24, useless: 1e-6 };

/** A function, rounded as if every value had an error of this standard deviation. */
function noisy(f: (x: number) => number, noise: number) {
  const random = new Random(1);
  return (x: number) => f(x) + noise * random.normal();
}

const central = (f: (x: number) => number, x: number) => async (step: number) =>
  (f(x + step) - f(x - step)) / (2 * step);

test.each([
  ["sin", Math.sin, 0.4, Math.cos(0.4)],
  ["exp(3 x)", (x: number) => Math.exp(3 * x), 0.2, 3 * Math.exp(0.6)],
  ["x², with no error at any step", (x: number) => x * x, 1, 2],
  [
    "tanh(40 x): flat but for the finest steps",
    (x: number) => Math.tanh(40 * x),
    0.02,
    40 / Math.cosh(0.8) ** 2,
  ],
  ["0", () => 0, 1, 0],
])("the error bar covers the error: %s", async (_name, f, x, slope) => {
  for (const noise of [1e-7, 1e-5, 1e-4]) {
    const found = await extrapolate(central(noisy(f, noise), x), { ...STEPS, noise, useless: 0.01 });
    expect(Math.abs(found.value - slope)).toBeLessThanOrEqual(found.errorBar);
    expect(found.errorBar).toBeLessThan(noise === 1e-7 ? 0.01 * (slope || 1) : 3);
  }
});

test("steps where the function is not finite are passed over", async () => {
  const f = (x: number) => Math.log(x);
  const found = await extrapolate(central(f, 0.1), { ...STEPS, noise: 1e-8 });
  expect(found.value).toBeCloseTo(10, 3);
  expect(Math.abs(found.value - 10)).toBeLessThanOrEqual(found.errorBar);
});

test("nothing finite: no value is claimed", async () => {
  const found = await extrapolate(async () => Number.NaN, { ...STEPS, noise: 1e-8 });
  expect(found.errorBar).toBe(Number.POSITIVE_INFINITY);
});

test("noise is told from the curvature, and is half a unit in the last place at least", async () => {
  const smooth = await noiseOf(Math.exp(1), async (offset) => Math.exp(1 + offset));
  expect(smooth).toBeCloseTo(2 ** -24 * Math.E, 12);
  const found: number[] = [];
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(seed);
    found.push(await noiseOf(1, async (offset) => Math.exp(offset) + 1e-4 * random.normal()));
  }
  for (const noise of found) expect(noise).toBeLessThan(4e-4);
  expect(found.filter((noise) => noise > 3e-5).length).toBeGreaterThanOrEqual(18);
});
