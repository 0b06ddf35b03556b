import { describe, expect, it } from "vitest";
import { bestThreshold, corruptLabels, flagScore } from "../../src/data/noise.ts";
import { Random } from "../../src/random.ts";

const truth = Int32Array.from({ length: 50_000 }, (_, i) => i % 10);

describe("corruptLabels", () => {
  it("redraws a part p of the labels, uniformly over all classes", () => {
    const { labels, corrupted } = corruptLabels(truth, 10, 0.5, new Random(1));
    const wrong = corrupted.reduce((sum, value) => sum + value, 0);
    expect(Math.abs(wrong / truth.length - 0.45)).toBeLessThan(0.01); // half of them, a tenth stays right
    expect(corrupted).toEqual(Uint8Array.from(labels, (label, i) => (label === truth[i] ? 0 : 1)));
    const shifts = new Float64Array(10);
    labels.forEach((label, i) => {
      shifts[(label - truth[i]! + 10) % 10]!++;
    });
    for (let shift = 1; shift < 10; shift++) expect(Math.abs(shifts[shift]! / 2500 - 1)).toBeLessThan(0.1);
  });

  it("leaves the input alone and repeats itself", () => {
    const first = corruptLabels(truth, 10, 0.3, new Random(2));
    expect(truth[11]).toBe(1);
    expect(corruptLabels(truth, 10, 0.3, new Random(2))).toEqual(first);
    expect(corruptLabels(truth, 10, 0.3, new Random(3))).not.toEqual(first);
  });

  it("corrupts more of the same as p grows, nothing at 0, about 9 in 10 at 1", () => {
    const at = (p: number) => corruptLabels(truth, 10, p, new Random(4)).corrupted;
    const [none, some, more, all] = [at(0), at(0.2), at(0.6), at(1)];
    expect(none.every((value) => value === 0)).toBe(true);
    expect(some.every((value, i) => value <= more[i]! && more[i]! <= all[i]!)).toBe(true);
    expect(all.reduce((sum, value) => sum + value, 0) / truth.length).toBeCloseTo(0.9, 2);
  });

  it("refuses what is no probability and no number of classes", () => {
    for (const p of [-0.1, 1.1, Number.NaN]) {
      expect(() => corruptLabels(truth, 10, p, new Random(1))).toThrow(/probability from 0 to 1/);
    }
    expect(() => corruptLabels(truth, 0, 0.5, new Random(1))).toThrow(RangeError);
  });
});

describe("flagScore", () => {
  it("gives precision, recall and their harmonic mean", () => {
    const score = flagScore([true, true, true, false, false], [1, 1, 0, 1, 0]);
    expect(score.precision).toBeCloseTo(2 / 3);
    expect(score.recall).toBeCloseTo(2 / 3);
    expect(score.f1).toBeCloseTo(2 / 3);
    expect(flagScore(Uint8Array.of(1, 0, 0, 0), [1, 1, 1, 0])).toEqual({
      precision: 1,
      recall: 1 / 3,
      f1: 0.5,
    });
  });

  it("is 0, not NaN, where nothing is flagged or nothing is corrupted", () => {
    const zero = { precision: 0, recall: 0, f1: 0 };
    expect(flagScore([0, 0], [1, 1])).toEqual(zero);
    expect(flagScore([1, 1], [0, 0])).toEqual(zero);
    expect(flagScore([], [])).toEqual(zero);
    expect(() => flagScore([1], [1, 0])).toThrow(/1 examples are scored against the truth of 2/);
  });
});

describe("bestThreshold", () => {
  it("equals a search over every threshold, with many ties", () => {
    const random = new Random(5);
    for (let round = 0; round < 300; round++) {
      const n = 1 + random.integer(12);
      const scores = Float32Array.from({ length: n }, () => random.integer(6) - 3);
      const corrupted = Uint8Array.from({ length: n }, () => random.integer(2));
      const best = bestThreshold(scores, corrupted);
      const f1At = (threshold: number) =>
        flagScore(
          Array.from(scores, (s) => s < threshold),
          corrupted,
        ).f1;
      expect(f1At(best.threshold)).toBe(best.f1);
      const thresholds = [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5];
      expect(best.f1).toBe(Math.max(...thresholds.map(f1At)));
    }
  });

  it("separates neighbours in float32 and flags everything where that is best", () => {
    const next = new Float32Array(new Uint32Array([0x3f800001]).buffer)[0]!; // the float32 after 1
    const scores = Float32Array.of(1, next, 1e38, -1e-45);
    const between = bestThreshold(scores, [1, 0, 0, 1]);
    expect(between.f1).toBe(1);
    expect(between.threshold > 1 && between.threshold < next).toBe(true);
    const all = bestThreshold(scores, [1, 1, 1, 1]);
    expect(all.f1).toBe(1);
    expect(all.threshold).toBeGreaterThan(1e38);
    expect(Number.isFinite(all.threshold)).toBe(true);
    const negative = bestThreshold(Float32Array.of(-2, -2), [1, 1]);
    expect(negative.f1).toBe(1);
    expect(negative.threshold).toBeGreaterThan(-2);
  });

  it("flags nothing when nothing is corrupted, and takes an empty set", () => {
    const clean = bestThreshold(Float32Array.of(0.5, 0.25), [0, 0]);
    expect(clean).toEqual({ threshold: 0.25, f1: 0 });
    expect(bestThreshold(new Float32Array(0), [])).toEqual({ threshold: 0, f1: 0 });
    expect(() => bestThreshold(Float32Array.of(1, Number.NaN), [0, 1])).toThrow(/score 1 is NaN/);
    expect(() => bestThreshold(Float32Array.of(1), [0, 1])).toThrow(RangeError);
  });

  it("is quick for a large set", () => {
    const random = new Random(6);
    const n = 200_000;
    const corrupted = Uint8Array.from({ length: n }, () => random.integer(2));
    const scores = Float32Array.from(corrupted, (wrong) => random.normal() - 2 * wrong);
    const start = performance.now();
    const { threshold, f1 } = bestThreshold(scores, corrupted);
    expect(performance.now() - start).toBeLessThan(3000);
    expect(threshold).toBeCloseTo(-1, 0);
    expect(f1).toBeGreaterThan(0.83);
  });
});
