import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { encode } from "fast-png";
import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import type { Dataset } from "../../src/data/dataset.ts";
import { DataError } from "../../src/data/error.ts";
import { loadOmniglot, type OmniglotOptions } from "../../src/data/omniglot.ts";
import { Random } from "../../src/random.ts";
import { errorOf, memoryFiles } from "./memory-files.ts";
import { nearestMeanAccuracy } from "./nearest-mean.ts";

const SIDE = 105;
const STRIDE = 14;

/** Ink at a pixel, in [0, 105)². */
type Picture = (row: number, column: number) => boolean;

function bits(picture: Picture): Uint8Array {
  const data = new Uint8Array(SIDE * STRIDE).fill(0xff);
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      if (picture(row, column)) data[row * STRIDE + (column >> 3)]! &= ~(0x80 >> (column & 7));
    }
  }
  return data;
}

const png = (picture: Picture) =>
  encode({ width: SIDE, height: SIDE, depth: 1, channels: 1, data: bits(picture) });

const corner: Picture = (row, column) => row < 15 && column < 45;
const diagonal: Picture = (row, column) => Math.abs(row - column) < 2;
const blank: Picture = () => false;

const archiveOf = (files: Record<string, Uint8Array>) => zipSync(files, { level: 0 });

const names = (...drawings: string[]) => drawings.map((name) => `images_background/${name}.png`);

const [LATE, EARLY, OTHER] = names(
  "Greek/character02/0002_02",
  "Greek/character02/0002_01",
  "Greek/character10/0003_01",
);
const FIRST = names("Anglo/character01/0001_01")[0]!;
const plain = () =>
  archiveOf({
    [LATE!]: png(diagonal),
    [OTHER!]: png(blank),
    [EARLY!]: png(corner),
    [FIRST]: png(corner),
    "images_background/Greek/": new Uint8Array(),
    "images_background/Greek/character02/._0002_01.png": new Uint8Array(5),
    "images_background/readme.txt": new Uint8Array(5),
  });

function load(zip: Uint8Array, options: OmniglotOptions = {}, path = "d/omniglot/images_background.zip") {
  return loadOmniglot(memoryFiles({ [path]: zip }).readFile, "d", "background", options);
}

const imageOf = ({ images, rows, columns }: Dataset, i: number) =>
  images.subarray(i * rows * columns, (i + 1) * rows * columns);

/** The mean of ink over each cell, by its definition. */
function averaged(picture: Picture, size: number): Float64Array {
  const result = new Float64Array(size * size);
  const overlap = (pixel: number, cell: number) =>
    Math.max(0, Math.min(pixel + 1, ((cell + 1) * SIDE) / size) - Math.max(pixel, (cell * SIDE) / size));
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let row = 0; row < SIDE; row++) {
        const high = overlap(row, i);
        if (high === 0) continue;
        for (let column = 0; column < SIDE; column++) {
          if (picture(row, column)) sum += high * overlap(column, j);
        }
      }
      result[i * size + j] = sum * (size / SIDE) ** 2;
    }
  }
  return result;
}

describe("loadOmniglot", () => {
  it("gives classes by character and drawings by name, whatever their order in the archive", async () => {
    const set = await load(plain());
    expect(set).toMatchObject({ name: "omniglot", channels: 1, rows: 28, columns: 28, classes: 3, turns: 1 });
    expect(set.classNames).toEqual(["Anglo/character01", "Greek/character02", "Greek/character10"]);
    expect([...set.labels]).toEqual([0, 1, 1, 2]);
    expect(imageOf(set, 1)).toEqual(imageOf(set, 0));
    expect(imageOf(set, 2)).not.toEqual(imageOf(set, 1));
    expect(imageOf(set, 3).every((value) => value === 0)).toBe(true);
    // 105 / 28 = 3.75: the corner's 45 × 15 pixels are 12 × 4 cells, exactly.
    expect(imageOf(set, 0).reduce((sum, value) => sum + value)).toBe(48);
    expect([imageOf(set, 0)[0], imageOf(set, 0)[11], imageOf(set, 0)[12]]).toEqual([1, 1, 0]);
  });

  it.each([1, 7, 20, 28, 64, 104, 105])("averages areas at size %d as the definition says", async (size) => {
    const random = new Random(size);
    const noise = Uint8Array.from({ length: SIDE * SIDE }, () => random.integer(2));
    const picture: Picture = (row, column) => noise[row * SIDE + column] === 1;
    const set = await load(archiveOf({ [FIRST]: png(picture) }), { size });
    const expected = averaged(picture, size);
    const worst = imageOf(set, 0).reduce(
      (most, value, i) => Math.max(most, Math.abs(value - expected[i]!)),
      0,
    );
    expect(worst).toBeLessThan(1e-7);
  });

  it("turns each character into three more classes", async () => {
    const set = await load(plain(), { rotations: true, size: 7 });
    expect(set).toMatchObject({ classes: 12, turns: 4 });
    expect([...set.labels]).toEqual([0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11]);
    expect(set.classNames?.slice(0, 7).filter((_, i) => i % 3 === 0)).toEqual([
      "Anglo/character01",
      "Anglo/character01 turned 90°",
      "Anglo/character01 turned 180°",
    ]);
    // The ink of the corner: 3 cells along the top from the left; then up the left side from below; and so on.
    const ink = [0, 4, 8, 12].map((i) =>
      Array.from(imageOf(set, i).keys()).filter((at) => imageOf(set, i)[at] === 1),
    );
    expect(ink).toEqual(
      [
        [0, 1, 2],
        [28, 35, 42],
        [46, 47, 48],
        [6, 13, 20],
      ].map((cells) => cells),
    );
    const upright = await load(plain(), { size: 7 });
    expect(set.images.subarray(0, upright.images.length)).toEqual(upright.images);
  });

  it("looks in dir/omniglot and in dir", async () => {
    expect((await load(plain(), {}, "d/images_background.zip")).classes).toBe(3);
    const none = await errorOf(load(plain(), {}, "d/elsewhere.zip"));
    expect(none.message).toContain("d/omniglot/images_background.zip, d/images_background.zip");
    const other = await errorOf(load(archiveOf({ "x/readme.txt": new Uint8Array(1) })));
    expect(other.message).toContain("no Alphabet/characterNN/drawing.png");
    for (const size of [0, 106, 2.5]) await expect(load(plain(), { size })).rejects.toThrow("from 1 to 105");
  });

  it.each([
    [
      "another size",
      { width: 28, height: 28, depth: 1, channels: 1, data: new Uint8Array(112) },
      "28 × 28 pixels",
    ],
    [
      "grey levels",
      { width: SIDE, height: SIDE, depth: 8, channels: 1, data: new Uint8Array(SIDE * SIDE) },
      "1 × 8 bits",
    ],
  ] as const)("refuses a PNG of %s, with its place in the archive", async (_, image, text) => {
    const zip = archiveOf({ [FIRST]: png(corner), [EARLY!]: encode(image) });
    const error = await errorOf(load(zip));
    expect(error.offset).toBe(30 + FIRST.length + png(corner).length);
    expect(error.message).toContain(EARLY);
    expect(error.message).toContain(text);
  });

  it("finds every damaged byte of a PNG, and every cut", async () => {
    const good = png(diagonal);
    const expected = await load(archiveOf({ [FIRST]: good }));
    let found = 0;
    for (let at = 0; at < good.length; at++) {
      for (const damaged of [good.slice(0, at), good.map((byte, i) => (i === at ? byte ^ 0x41 : byte))]) {
        const outcome = await load(archiveOf({ [FIRST]: damaged })).catch((error: unknown) => error);
        if (outcome instanceof DataError) found++;
        else expect(outcome, `byte ${at}`).toEqual(expected);
      }
    }
    console.log(`${found} of ${2 * good.length} damaged PNGs found`);
    expect(found).toBeGreaterThan(2 * good.length - 20);
  });
});

const SHARED = new URL("../../../shared/data/", import.meta.url);
const present = existsSync(new URL("omniglot", SHARED));
if (!present) console.warn(`skipped: the real Omniglot is not at ${SHARED.pathname}`);

describe.skipIf(!present)("the real Omniglot", () => {
  it.each([
    ["background", 964, false],
    ["evaluation", 659, true],
  ] as const)("%s: counts, names, ink", async (part, characters, rotations) => {
    const start = performance.now();
    const set = await loadOmniglot((path) => readFile(path), SHARED.pathname, part, { rotations });
    const seconds = (performance.now() - start) / 1000;
    console.log(`${set.labels.length} images of ${set.classes} classes in ${seconds.toFixed(2)} s`);
    const turns = rotations ? 4 : 1;
    expect(set).toMatchObject({ classes: turns * characters, turns });
    expect(set.labels).toHaveLength(20 * turns * characters);
    expect(new Set(set.classNames).size).toBe(set.classes);
    const counts = new Int32Array(set.classes);
    for (const label of set.labels) counts[label]!++;
    expect(counts.every((count) => count === 20)).toBe(true);
    let ink = 0;
    for (const value of set.images) ink += value;
    const mean = ink / set.images.length;
    console.log(`mean ink ${mean.toFixed(4)}`);
    expect(mean).toBeGreaterThan(0.05);
    expect(mean).toBeLessThan(0.1);
    const accuracy = (ways: number, shots: number) => nearestMeanAccuracy(set, { ways, shots, queries: 10 });
    console.log(
      `nearest class mean: 5-way 1-shot ${accuracy(5, 1)}, 5-way 5-shot ${accuracy(5, 5)}, 20-way 1-shot ${accuracy(20, 1)}`,
    );
  });
});
