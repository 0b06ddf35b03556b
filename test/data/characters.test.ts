import { describe, expect, it } from "vitest";
import { characters } from "../../src/data/characters.ts";
import { type Dataset, imageSize } from "../../src/data/dataset.ts";
import { hash } from "./hash.ts";
import { nearestMeanAccuracy } from "./nearest-mean.ts";

describe("characters", () => {
  it("keeps its images: a change here changes every result on generated data", () => {
    expect(hash(characters({ classes: 20, seed: 3 }).images)).toBe(2852608001);
  });

  it("has its drawings in order of class, the same for the same seed", () => {
    const set = characters({ classes: 7, perClass: 3, seed: 1, size: 20 });
    const { name, channels, rows, columns, classes } = set;
    expect({ name, channels, rows, columns, classes }).toEqual({
      name: "characters",
      channels: 1,
      rows: 20,
      columns: 20,
      classes: 7,
    });
    expect([...set.labels]).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6]);
    expect(set.images.every((value) => value >= 0 && value <= 1)).toBe(true);
    expect(characters({ classes: 7, perClass: 3, seed: 1, size: 20 })).toEqual(set);
    expect(characters({ classes: 7, perClass: 3, seed: 2, size: 20 }).images).not.toEqual(set.images);
  });

  it("changes no drawing when more are asked for", () => {
    const few = characters({ classes: 5, perClass: 2, seed: 1 });
    const many = characters({ classes: 9, perClass: 4, seed: 1 });
    for (let c = 0; c < 5; c++) {
      for (let k = 0; k < 2; k++) expect(imageOf(many, 4 * c + k)).toEqual(imageOf(few, 2 * c + k));
    }
  });

  it("is neither too easy nor too hard for one-shot learning", () => {
    const start = performance.now();
    const set = characters({ seed: 1 });
    console.log(`${set.labels.length} drawings in ${((performance.now() - start) / 1000).toFixed(2)} s`);
    const accuracy = (ways: number, shots: number) => nearestMeanAccuracy(set, { ways, shots, queries: 10 });
    const [one, five, twenty] = [accuracy(5, 1), accuracy(5, 5), accuracy(20, 1)];
    console.log(`nearest class mean: 5-way 1-shot ${one}, 5-way 5-shot ${five}, 20-way 1-shot ${twenty}`);
    expect(one).toBeGreaterThan(0.4);
    expect(one).toBeLessThan(0.75);
    expect(five).toBeGreaterThan(one + 0.05);
    expect(five).toBeLessThan(0.95);
    expect(twenty).toBeGreaterThan(0.15);
    expect(twenty).toBeLessThan(one - 0.1);
  });

  it("refuses options out of range", () => {
    const ask = (options: object) => () => characters({ seed: 1, ...options });
    expect(ask({ classes: 0 })).toThrow("classes of characters must be a whole number from 1 to 2000, got 0");
    expect(ask({ perClass: 1.5 })).toThrow("perClass of characters");
    expect(ask({ size: 7 })).toThrow("size of characters");
    expect(ask({ difficulty: 2 })).toThrow("the difficulty of characters must be from 0 to 1.5, got 2");
    expect(ask({ count: 3 })).toThrow('characters takes no "count"; there are classes, perClass, size, seed');
  });
});

function imageOf(set: Dataset, i: number): Float32Array {
  return set.images.subarray(i * imageSize(set), (i + 1) * imageSize(set));
}
