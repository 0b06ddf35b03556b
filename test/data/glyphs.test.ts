import { describe, expect, it } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import { glyphs } from "../../src/data/glyphs.ts";
import { corruptLabels } from "../../src/data/noise.ts";
import { Random } from "../../src/random.ts";
import { hash } from "./hash.ts";
import { softmaxAccuracy } from "./softmax.ts";

describe("glyphs", () => {
  it("keeps its images: a change here changes every result on generated data", () => {
    const { images, labels } = glyphs({ count: 500, seed: 7 });
    expect([...labels.subarray(0, 8)]).toEqual([0, 9, 7, 3, 7, 4, 7, 6]);
    expect(hash(images)).toBe(4063658713);
  });

  it("is the same for the same seed and different for another", () => {
    const first = glyphs({ count: 50, seed: 1 });
    expect(glyphs({ count: 50, seed: 1 })).toEqual(first);
    const other = glyphs({ count: 50, seed: 2 });
    expect(other.images).not.toEqual(first.images);
    expect(other.labels).not.toEqual(first.labels);
  });

  it("has balanced, shuffled labels", () => {
    for (const [count, classes] of [
      [1000, 10],
      [103, 10],
      [5, 30],
    ] as const) {
      const { labels } = glyphs({ count, classes, seed: 3 });
      const counts = Array<number>(classes).fill(0);
      for (const label of labels) counts[label]!++;
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
    const { labels } = glyphs({ count: 1000, seed: 3 });
    let rises = 0;
    for (let i = 1; i < labels.length; i++) if (labels[i]! > labels[i - 1]!) rises++;
    expect(Math.abs(rises - 450)).toBeLessThan(60);
  });

  it.each([8, 16, 28, 64])("draws at size %d: in [0, 1], ink in the middle, room at the border", (size) => {
    const set = glyphs({ count: 200, size, seed: 4 });
    expect([set.rows, set.columns, set.images.length]).toEqual([size, size, 200 * size * size]);
    expect(set.images.every((value) => value >= 0 && value <= 1)).toBe(true);
    const mean = new Float64Array(size * size);
    set.images.forEach((value, i) => {
      mean[i % mean.length]! += value / 200;
    });
    const at = (y: number, x: number) => mean[Math.floor(y * size) * size + Math.floor(x * size)]!;
    expect(at(0.5, 0.5)).toBeGreaterThan(3 * at(0, 0));
    for (let i = 0; i < 200; i++) {
      const image = set.images.subarray(i * size * size, (i + 1) * size * size);
      expect(image.reduce((most, value) => Math.max(most, value), 0)).toBeGreaterThan(0.25);
    }
  });

  it("keeps the first characters when more classes are asked", () => {
    const plain = (classes: number) => prototypes(glyphs({ count: 60, classes, seed: 1, difficulty: 0 }));
    const few = plain(5);
    const many = plain(60);
    for (let c = 0; c < 5; c++) expect(many[c]).toEqual(few[c]);
    const distinct = new Set(many.map((image) => hash(image!)));
    expect(distinct.size).toBe(60);
  });

  it("at difficulty 0 repeats each character exactly, else never", () => {
    const same = glyphs({ count: 40, seed: 5, difficulty: 0 });
    expect(distinctImages(same)).toBe(10);
    expect(distinctImages(glyphs({ count: 40, seed: 5, difficulty: 0.1 }))).toBe(40);
  });

  it("is hard enough that wrong labels hurt and cleaning helps", () => {
    const train = glyphs({ count: 1000, seed: 1 });
    const test = glyphs({ count: 2000, seed: 2 });
    const { labels, corrupted } = corruptLabels(train.labels, 10, 0.5, new Random(1));
    const everyone = new Uint8Array(1000);
    const clean = softmaxAccuracy(train, train.labels, everyone, test);
    const noisy = softmaxAccuracy(train, labels, everyone, test);
    const cleaned = softmaxAccuracy(train, labels, corrupted, test);
    console.log(`test accuracy: clean ${clean}, half redrawn ${noisy}, wrong ones left out ${cleaned}`);
    expect(clean).toBeGreaterThan(0.88);
    expect(clean).toBeLessThan(0.94);
    expect(noisy).toBeGreaterThan(0.65);
    expect(noisy).toBeLessThan(0.78);
    expect(cleaned).toBeGreaterThan(noisy + 0.1);
  });

  it("refuses options out of range", () => {
    const ask = (options: object) => () => glyphs({ count: 10, seed: 1, ...options });
    expect(ask({ count: 0 })).toThrow("count of glyphs must be a whole number from 1");
    expect(ask({ classes: 1.5 })).toThrow("classes of glyphs");
    expect(ask({ size: 7 })).toThrow("size of glyphs");
    expect(ask({ difficulty: -1 })).toThrow("difficulty of glyphs");
    expect(ask({ difficulty: Number.NaN })).toThrow("difficulty of glyphs");
    expect(ask({ seed: 0.5 })).toThrow("seed must be an integer");
    expect(ask({ seed: undefined })).toThrow("seed must be an integer between −2^53 and 2^53, got undefined");
    expect(ask({ clases: 3 })).toThrow('glyphs takes no "clases"; there are count, classes, size, seed');
  });
});

function prototypes({ images, labels, rows, columns }: Dataset): (Float32Array | undefined)[] {
  const result: (Float32Array | undefined)[] = [];
  const pixels = rows * columns;
  labels.forEach((label, i) => {
    result[label] = images.slice(i * pixels, (i + 1) * pixels);
  });
  return result;
}

function distinctImages({ images, labels, rows, columns }: Dataset): number {
  const pixels = rows * columns;
  const hashes = Array.from(labels, (_, i) => hash(images.subarray(i * pixels, (i + 1) * pixels)));
  return new Set(hashes).size;
}
