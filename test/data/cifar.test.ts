import { existsSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { loadCifar10, loadCifar100 } from "../../src/data/cifar.ts";
import { take } from "../../src/data/dataset.ts";
import { listFolder, readFile } from "../../src/host/files.ts";
import { errorOf, memoryFiles } from "./memory-files.ts";

const PIXELS = 3072;

/** Records whose pixels are all equal to the first label byte. */
function records(...labels: number[][]): Uint8Array {
  return Uint8Array.from(labels.flatMap((bytes) => [...bytes, ...new Array<number>(PIXELS).fill(bytes[0]!)]));
}

const zip = (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes, { level: 1 }));
const ten = (files: Record<string, Uint8Array>, part?: "train" | "test") =>
  loadCifar10(memoryFiles(files), "d", part);

describe("loadCifar10", () => {
  it("gives three planes in [0, 1], in the order of the batches", async () => {
    const files = {
      "d/cifar10/data_batch_3.bin": records([7]),
      "d/cifar10/data_batch_10.bin": records([6]),
      "d/cifar10/data_batch_2.bin.gz": zip(records([4], [5])),
      "d/cifar10/data_batch_1.bin": records([9]),
      "d/cifar10/test_batch.bin": records([1], [2]),
    };
    files["d/cifar10/data_batch_1.bin"][1] = 255;
    files["d/cifar10/data_batch_1.bin"][1 + 1024 + 33] = 51;
    const set = await ten(files);
    const { name, channels, rows, columns, classes } = set;
    expect({ name, channels, rows, columns, classes }).toEqual({
      name: "cifar10",
      channels: 3,
      rows: 32,
      columns: 32,
      classes: 10,
    });
    expect([...set.labels]).toEqual([9, 4, 5, 7]);
    expect(set.images).toHaveLength(4 * PIXELS);
    expect(set.images[0]).toBe(1);
    expect(set.images[1024 + 33]).toBe(Math.fround(51 / 255)); // green, row 1, column 1
    expect(set.images[PIXELS]).toBe(Math.fround(4 / 255));
    expect([...(await ten(files, "test")).labels]).toEqual([1, 2]);
    const taken = take(set, [3, 0]);
    expect([...taken.labels]).toEqual([7, 9]);
    expect(taken.images).toHaveLength(2 * PIXELS);
    expect([taken.images[0], taken.images[PIXELS]]).toEqual([Math.fround(7 / 255), 1]);
  });

  it("takes a whole batch before a part of it, and a part where there is no more", async () => {
    const part = { "d/data_batch_1_first2.bin.gz": zip(records([1], [2])) };
    expect([...(await ten(part)).labels]).toEqual([1, 2]);
    const both = {
      ...part,
      "d/data_batch_1.bin": records([3], [4], [5]),
      "d/data_batch_1.bin.gz": zip(records([6])),
    };
    expect([...(await ten(both)).labels]).toEqual([6]);
  });

  it("looks in the set's folder, in the folder that the published archive makes, and in dir", async () => {
    for (const folder of ["d/cifar10", "d/cifar10/cifar-10-batches-bin", "d", "d/cifar-10-batches-bin"]) {
      expect([...(await ten({ [`${folder}/test_batch.bin`]: records([8]) }, "test")).labels]).toEqual([8]);
    }
    const error = await errorOf(
      ten({ "d/train.bin": records([1, 2]), "d/data_batch_1.bin.part": records([1]) }),
    );
    expect(error.message).toContain("no training file of cifar10 (looked in d/cifar10, ");
    expect(error.message).toContain(
      '"npx hypergrad data fetch cifar10 --data d", or give the folder that holds data_',
    );
    expect((await errorOf(ten({ d: new Uint8Array(9) }))).message).toContain("d: it is a file, not a folder");
  });

  it.each([
    ["a cut record", records([1], [2]).slice(0, 4000), 4000, "after 927 of the 3073 bytes of record 1"],
    ["a label that is none", records([1], [10]), 3073, "label 10 of record 1 is not below 10"],
    ["an empty file", new Uint8Array(), 0, "empty"],
  ])("refuses %s, with file and offset", async (_, bytes, offset, text) => {
    const error = await errorOf(ten({ "d/data_batch_1.bin": bytes }));
    expect(error).toMatchObject({ file: "d/data_batch_1.bin", offset });
    expect(error.message).toContain(text);
    const packed = await errorOf(ten({ "d/data_batch_1.bin.gz": zip(bytes) }));
    expect(packed.offset).toBe(offset);
    expect(packed.message).toContain("(of the decompressed data)");
  });
});

describe("loadCifar100", () => {
  const files = memoryFiles({
    "d/cifar100/train.bin": records([19, 99], [3, 42]),
    "d/cifar100/test.bin.gz": zip(records([0, 1])),
    "d/test_batch.bin": records([1]),
  });

  it("has fine and coarse labels", async () => {
    const fine = await loadCifar100(files, "d");
    expect([fine.name, fine.classes, ...fine.labels]).toEqual(["cifar100", 100, 99, 42]);
    const coarse = await loadCifar100(files, "d", "train", { labels: "coarse" });
    expect([coarse.classes, ...coarse.labels]).toEqual([20, 19, 3]);
    expect(coarse.images).toEqual(fine.images);
    expect(fine.images[PIXELS]).toBe(Math.fround(3 / 255));
    expect([...(await loadCifar100(files, "d", "test")).labels]).toEqual([1]);
  });

  it("refuses labels of neither kind and the records of CIFAR-10", async () => {
    const load = (bytes: Uint8Array) => loadCifar100(memoryFiles({ "d/train.bin": bytes }), "d");
    expect((await errorOf(load(records([20, 0])))).offset).toBe(0);
    expect((await errorOf(load(records([0, 5], [0, 100])))).offset).toBe(3075);
    expect((await errorOf(load(records([1], [2])))).message).toContain(
      "after 3072 of the 3074 bytes of record 1",
    );
  });
});

const SHARED = new URL("../../../shared/data/", import.meta.url);
const present = existsSync(new URL("cifar10", SHARED));
if (!present) console.warn(`skipped: real CIFAR-10 records are not at ${SHARED.pathname}`);

describe.skipIf(!present)("real CIFAR-10 records", () => {
  it.each([
    ["train", [505, 460, 519, 486, 519, 488, 519, 486, 520, 498]],
    ["test", [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]],
  ] as const)("%s: counts and colours", async (part, perClass) => {
    const start = performance.now();
    const set = await loadCifar10({ readFile, listFolder }, SHARED.pathname, part);
    console.log(`${set.labels.length} images in ${((performance.now() - start) / 1000).toFixed(2)} s`);
    const counts = new Array<number>(10).fill(0);
    for (const label of set.labels) counts[label]!++;
    expect(counts).toEqual(perClass);
    // The means of the whole training set are 0.4914, 0.4822 and 0.4465.
    const means = [0, 0, 0];
    set.images.forEach((value, i) => {
      means[Math.floor(i / 1024) % 3]! += value / (1024 * set.labels.length);
    });
    [0.4914, 0.4822, 0.4465].forEach((mean, c) => {
      expect(Math.abs(means[c]! - mean)).toBeLessThan(0.01);
    });
  });
});
