import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type ImageSetName, loadImageSet } from "../../src/data/image-set.ts";
import { encodeIdx } from "./encode-idx.ts";
import { errorOf, memoryFiles } from "./memory-files.ts";

const zip = (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes));
const images = (count: number, first = 0) =>
  encodeIdx(
    [count, 2, 3],
    Uint8Array.from({ length: count * 6 }, (_, i) => (first + i) % 256),
  );
const labels = (...values: number[]) => encodeIdx([values.length], values);

function load(files: Record<string, Uint8Array>, dir = "d", name: ImageSetName = "mnist") {
  return loadImageSet(memoryFiles(files).readFile, dir, name);
}

describe("loadImageSet", () => {
  const plain = {
    "d/train-images-idx3-ubyte": images(3, 250),
    "d/train-labels-idx1-ubyte": labels(9, 0, 4),
  };

  it("gives images in [0, 1], labels and shape", async () => {
    const set = await load(plain);
    const { name, rows, columns, classes } = set;
    expect({ name, rows, columns, classes }).toEqual({ name: "mnist", rows: 2, columns: 3, classes: 10 });
    expect([...set.labels]).toEqual([9, 0, 4]);
    expect(set.images).toHaveLength(18);
    expect(set.images[5]).toBe(1);
    expect(set.images[6]).toBe(0);
    expect(set.images[4]).toBe(Math.fround(254 / 255));
  });

  it("takes dir/name before dir, .gz before plain, and a folder with an ending slash", async () => {
    const all = {
      ...plain,
      "d/train-images-idx3-ubyte.gz": zip(images(1, 10)),
      "d/mnist/train-images-idx3-ubyte.gz": zip(images(2, 20)),
      "d/mnist/train-labels-idx1-ubyte": labels(1, 2),
    };
    for (const dir of ["d", "d/", "d//"]) {
      expect([...(await load(all, dir)).labels]).toEqual([1, 2]);
    }
    const both = { ...plain, "d/train-images-idx3-ubyte.gz": zip(images(3, 10)) };
    expect((await load(both)).images[0]).toBe(Math.fround(10 / 255));
  });

  it("loads the test part from the t10k files", async () => {
    const files = {
      "d/fashion-mnist/t10k-images-idx3-ubyte.gz": zip(images(2)),
      "d/fashion-mnist/t10k-labels-idx1-ubyte.gz": zip(labels(3, 3)),
    };
    const set = await loadImageSet(memoryFiles(files).readFile, "d", "fashion-mnist", "test");
    expect([...set.labels]).toEqual([3, 3]);
  });

  it("does not take the files of one set for the other's", async () => {
    const files = {
      "data/mnist/train-images-idx3-ubyte": images(1),
      "data/mnist/train-labels-idx1-ubyte": labels(1),
    };
    expect((await load(files, "data/mnist")).labels).toHaveLength(1);
    const error = await errorOf(load(files, "data/mnist", "fashion-mnist"));
    expect(error.message).toContain("no such file");
    await expect(load(files, "data", "cifar" as ImageSetName)).rejects.toThrow(
      /choose mnist or fashion-mnist/,
    );
  });

  it("lists the paths it tried when a file is missing", async () => {
    const none = await errorOf(load({}));
    for (const path of ["d/mnist/train-images-idx3-ubyte.gz", "d/train-images-idx3-ubyte)"]) {
      expect(none.message).toContain(path);
    }
    expect(none.message).toContain(
      '; fetch the set with "npx hypergrad data fetch mnist --data d", or give the',
    );
    expect(none.message).not.toContain("at byte");
    expect(none.offset).toBeUndefined();
    const unlabelled = await errorOf(load({ "d/train-images-idx3-ubyte": images(1) }));
    expect(unlabelled.file).toBe("d/train-labels-idx1-ubyte.gz");
  });

  it("says that a file is no folder", async () => {
    for (const dir of ["README.md", "README.md/"]) {
      const error = await errorOf(load({ "README.md": new Uint8Array(9) }, dir));
      expect(error.message).toBe("README.md: it is a file, not a folder; give the folder it is in");
    }
  });

  it("reports a file that is there but cannot be read", async () => {
    const denied = async () => {
      throw Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
    };
    const error = await errorOf(loadImageSet(denied, "d", "mnist"));
    expect(error.message).toContain("permission denied");
    const strange = () => Promise.reject("no reason");
    expect((await errorOf(loadImageSet(strange, "d", "mnist"))).message).toContain("no reason");
  });

  it.each([
    ["fewer labels", labels(1, 2), 4, "mismatched files: 2 labels for the 3 images"],
    ["a label outside the classes", labels(1, 2, 10), 10, "label 10 of example 2"],
    ["images in the labels' place", images(3), 3, "3 axes, not the 1"],
    ["cut labels", labels(1, 2, 3).slice(0, 10), 10, "after 2 of 3"],
  ])("refuses %s", async (_, bytes, offset, text) => {
    const error = await errorOf(load({ ...plain, "d/train-labels-idx1-ubyte": bytes }));
    expect(error.file).toBe("d/train-labels-idx1-ubyte");
    expect(error.offset).toBe(offset);
    expect(error.message).toContain(text);
  });

  it("refuses image files without images", async () => {
    for (const bytes of [labels(1, 2, 3), encodeIdx([0, 28, 28], []), encodeIdx([3, 0, 28], [])]) {
      const error = await errorOf(load({ ...plain, "d/train-images-idx3-ubyte": bytes }));
      expect(error.file).toBe("d/train-images-idx3-ubyte");
    }
  });
});

const SHARED = new URL("../../../shared/data/", import.meta.url);
const present = existsSync(SHARED);
if (!present) console.warn(`skipped: real image sets are not at ${SHARED.pathname}`);

describe.skipIf(!present)("real image sets", () => {
  it.each([
    ["mnist", "train", 60_000, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], 0.1307],
    ["mnist", "test", 10_000, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], 0.1325],
    ["fashion-mnist", "train", 60_000, Array<number>(10).fill(6000), 0.286],
    ["fashion-mnist", "test", 10_000, Array<number>(10).fill(1000), 0.2868],
  ] as const)("%s %s: counts, shape, mean brightness", async (name, part, count, perClass, mean) => {
    const set = await loadImageSet((path) => readFile(path), SHARED.pathname, name, part);
    expect([set.rows, set.columns, set.labels.length]).toEqual([28, 28, count]);
    const counts = Array<number>(10).fill(0);
    for (const label of set.labels) counts[label]!++;
    expect(counts).toEqual(perClass);
    let sum = 0;
    for (const value of set.images) sum += value;
    expect(sum / set.images.length).toBeCloseTo(mean, 3);
  });
});
