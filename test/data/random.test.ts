import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";

const draw = <T>(n: number, one: () => T): T[] => Array.from({ length: n }, one);

describe("Random", () => {
  it("is xoshiro128**: the reference program's numbers from state 1, 2, 3, 4", () => {
    const random = new Random([1, 2, 3, 4]);
    const first = [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849];
    expect(draw(8, () => random.bits())).toEqual(first);
    draw(992, () => random.bits());
    expect(random.bits()).toBe(136054147);
  });

  it("keeps its numbers: a change here changes every seeded result", () => {
    const random = new Random(7);
    expect(draw(3, () => random.bits())).toEqual([1919111457, 51131856, 1738346499]);
    expect(draw(3, () => random.normal())).toEqual([
      -0.0446499363094931, -0.1644088571850645, -0.49650015293973393,
    ]);
    expect(new Random(7).fork("labels").bits()).toBe(1944499662);
  });

  it("gives unrelated streams to different seeds, and the same stream to the same seed", () => {
    const seeds = [0, 1, -1, 2, 2 ** 32, -(2 ** 32), 2 ** 32 + 1, 2 ** 53 - 1, -(2 ** 53) + 1];
    const firsts = seeds.map((seed) => new Random(seed).bits());
    expect(new Set(firsts).size).toBe(seeds.length);
    expect(seeds.map((seed) => new Random(seed).bits())).toEqual(firsts);
  });

  it("forks by name alone, however many numbers were drawn", () => {
    const parent = new Random(3);
    const before = parent.fork("a").bits();
    draw(100, () => parent.normal());
    expect(parent.fork("a").bits()).toBe(before);

    const root = new Random(3);
    const streams = [
      root,
      root.fork("a"),
      root.fork("b"),
      root.fork("ab"),
      root.fork("a").fork("b"),
      root.fork("b").fork("a"),
      root.fork(""),
      root.fork(1),
      root.fork("1"),
      root.fork("\u0001"),
      new Random(4).fork("a"),
    ];
    expect(new Set(streams.map((stream) => stream.bits())).size).toBe(streams.length);
  });

  it("has forks without correlation to each other or to the parent", () => {
    const root = new Random(11);
    const streams = [root, ...draw(6, () => 0).map((_, i) => root.fork(i))];
    const n = 20_000;
    const columns = streams.map((stream) => draw(n, () => stream.uniform() - 0.5));
    columns.forEach((a, i) => {
      for (const b of columns.slice(0, i)) {
        const correlation = (12 * a.reduce((sum, value, k) => sum + value * b[k]!, 0)) / n;
        expect(Math.abs(correlation)).toBeLessThan(4.5 / Math.sqrt(n));
      }
    });
  });

  it("is uniform in [0, 1), also after rounding to float32", () => {
    const random = new Random(1);
    const n = 200_000;
    const bins = new Float64Array(64);
    let inside = true;
    for (let i = 0; i < n; i++) {
      const u = random.uniform();
      inside &&= u >= 0 && u < 1 && Math.fround(u) === u;
      bins[Math.floor(u * 64)]!++;
    }
    expect(inside).toBe(true);
    expect(chiSquare(bins, n / 64)).toBeLessThan(120); // 63 degrees of freedom: p ≈ 2e-5
  });

  it("is normal: moments and tails", () => {
    const random = new Random(2);
    const n = 400_000;
    const moments = [0, 0, 0, 0];
    let beyond2 = 0;
    let beyond4 = 0;
    for (let i = 0; i < n; i++) {
      const z = random.normal();
      for (let k = 0; k < 4; k++) moments[k]! += z ** (k + 1) / n;
      if (Math.abs(z) > 2) beyond2++;
      if (Math.abs(z) > 4) beyond4++;
    }
    expect(Math.abs(moments[0]!)).toBeLessThan(0.008);
    expect(Math.abs(moments[1]! - 1)).toBeLessThan(0.012);
    expect(Math.abs(moments[2]!)).toBeLessThan(0.03);
    expect(Math.abs(moments[3]! - 3)).toBeLessThan(0.08);
    expect(beyond2 / n).toBeCloseTo(0.0455, 2);
    expect(beyond4).toBeGreaterThan(8); // 25 expected
    expect(beyond4).toBeLessThan(50);
  });

  it("draws integers without bias, for ranges that do not divide 2^32 too", () => {
    const random = new Random(3);
    const bins = new Float64Array(10);
    for (let i = 0; i < 100_000; i++) bins[random.integer(10)]!++;
    expect(chiSquare(bins, 10_000)).toBeLessThan(35);
    // Of 3 · 2^30 values a plain remainder would draw the lowest third twice as often.
    let low = 0;
    for (let i = 0; i < 30_000; i++) if (random.integer(3 * 2 ** 30) < 2 ** 30) low++;
    expect(Math.abs(low / 30_000 - 1 / 3)).toBeLessThan(0.012);
    expect(random.integer(1)).toBe(0);
    expect(random.integer(2 ** 32)).toBeLessThan(2 ** 32);
  });

  it("permutes: every order equally often, each number once", () => {
    const random = new Random(4);
    const counts = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const order = random.permutation(4).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(chiSquare([...counts.values()], 1000)).toBeLessThan(60); // 23 degrees of freedom
    expect(random.permutation(1000).sort()).toEqual(Uint32Array.from({ length: 1000 }, (_, i) => i));
    expect(random.permutation(0)).toEqual(new Uint32Array(0));
  });

  it("refuses what it cannot use", () => {
    for (const seed of [Number.NaN, 0.5, 2 ** 53, Number.POSITIVE_INFINITY]) {
      expect(() => new Random(seed)).toThrow(/seed must be an integer/);
    }
    expect(() => new Random(undefined as never)).toThrow(/seed must be an integer.*, got undefined/);
    expect(() => new Random([0, 0, 0, 0])).toThrow(/all zero/);
    for (const n of [0, -1, 1.5, 2 ** 32 + 1, Number.NaN]) {
      expect(() => new Random(1).integer(n)).toThrow(/needs an integer/);
    }
  });
});

function chiSquare(counts: ArrayLike<number>, expected: number): number {
  return Array.from(counts).reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}
