import { describe, expect, it } from "vitest";
import { type Dataset, split, take } from "../../src/data/dataset.ts";
import { Random } from "../../src/random.ts";

/** Example i has label i and the two pixels i and i + ½. */
function numbered(n: number): Dataset {
  return {
    name: "numbered",
    images: Float32Array.from({ length: 2 * n }, (_, i) => i / 2),
    labels: Int32Array.from({ length: n }, (_, i) => i),
    channels: 1,
    rows: 1,
    columns: 2,
    classes: n,
  };
}

describe("take", () => {
  it("copies the examples in the order asked, repeats included", () => {
    const set = numbered(5);
    const part = take(set, [3, 0, 3]);
    expect([...part.labels]).toEqual([3, 0, 3]);
    expect([...part.images]).toEqual([3, 3.5, 0, 0.5, 3, 3.5]);
    part.images.fill(9);
    part.labels.fill(9);
    expect(set).toEqual(numbered(5));
    expect(take(set, []).labels).toHaveLength(0);
  });

  it("refuses an index that is not there", () => {
    for (const index of [5, -1, 0.5]) {
      expect(() => take(numbered(5), [index])).toThrow(`numbered has no example ${index}: use indices`);
    }
  });
});

describe("split", () => {
  it("gives disjoint random parts, the same for the same seed", () => {
    const parts = split(numbered(100), [30, 50, 0, 20], new Random(1));
    expect(parts.map((part) => part.labels.length)).toEqual([30, 50, 0, 20]);
    const all = parts.flatMap((part) => [...part.labels]);
    expect(new Set(all).size).toBe(100);
    expect(all).not.toEqual([...numbered(100).labels]);
    for (const { labels, images } of parts) {
      expect(images.filter((_, i) => i % 2 === 0)).toEqual(Float32Array.from(labels));
    }
    expect(split(numbered(100), [30, 50, 0, 20], new Random(1))).toEqual(parts);
    expect(split(numbered(100), [30, 50, 0, 20], new Random(2))).not.toEqual(parts);
  });

  it("says so when there are too few examples", () => {
    expect(() => split(numbered(9), [5, 5], new Random(1))).toThrow(
      "5 + 5 = 10 examples were asked of numbered, which has 9: ask for fewer or use a larger set",
    );
    for (const size of [-1, 1.5, Number.NaN]) {
      expect(() => split(numbered(9), [size], new Random(1))).toThrow(/whole numbers/);
    }
  });
});
