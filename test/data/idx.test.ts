import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/data/error.ts";
import { decodeIdx } from "../../src/data/idx.ts";
import { Random } from "../../src/random.ts";
import { encodeIdx } from "./encode-idx.ts";

const SHAPE = [3, 4, 5];
const DATA = Uint8Array.from({ length: 60 }, (_, i) => (i * 37 + 11) % 256);
const PLAIN = encodeIdx(SHAPE, DATA);
const GZIP = new Uint8Array(gzipSync(PLAIN));

/** The error of decoding these bytes; fails if there is none or it is not a DataError. */
async function errorOf(bytes: Uint8Array): Promise<DataError> {
  const outcome = await decodeIdx(bytes, "f.idx").catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(DataError);
  const error = outcome as DataError;
  expect(error.file).toBe("f.idx");
  expect(error.message).toMatch(/^f\.idx: at byte \d+: .+; .+$/);
  expect(error.message).toContain(`at byte ${error.offset}:`);
  return error;
}

function changed(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

describe("decodeIdx", () => {
  it.each([
    [[7], 7],
    [[3, 4, 5], 60],
    [[2, 1, 2, 1, 2], 8],
    [[0, 28, 28], 0],
    [[300, 300], 90_000],
  ])("reads shape %j back, plain and gzip", async (shape, size) => {
    const random = new Random(size);
    const data = Uint8Array.from({ length: size }, () => random.integer(256));
    const plain = encodeIdx(shape, data);
    for (const bytes of [plain, new Uint8Array(gzipSync(plain))]) {
      expect(await decodeIdx(bytes, "f.idx")).toEqual({ shape, data });
    }
  });

  it("reads bytes that are a view into a larger buffer", async () => {
    for (const bytes of [PLAIN, GZIP]) {
      const padded = new Uint8Array(bytes.length + 20).fill(255);
      padded.set(bytes, 7);
      const view = padded.subarray(7, 7 + bytes.length);
      expect((await decodeIdx(view, "f.idx")).data).toEqual(DATA);
    }
  });

  it.each([
    ["an empty file", new Uint8Array(0), 0, "ends inside the 4-byte IDX magic"],
    ["another format", new TextEncoder().encode("PK\u0003\u0004 more"), 0, "starts with 50 4b 03 04"],
    ["floats", changed(PLAIN, 2, 13), 2, "32-bit floats"],
    ["an unknown type", changed(PLAIN, 2, 99), 2, "unknown type 99"],
    ["no axes", changed(PLAIN, 3, 0), 3, "no axes"],
    ["a cut header", PLAIN.slice(0, 9), 9, "ends inside its header of 16 bytes"],
    ["cut data", PLAIN.slice(0, 50), 50, "after 34 of 60 elements (3 × 4 × 5)"],
    ["bytes added", Uint8Array.from([...PLAIN, 1, 2]), 76, "2 bytes follow"],
    ["absurd axes", changed(PLAIN, 4, 255, 255, 255, 255, 255, 255, 255, 255), 8, "more than any file"],
    ["a huge axis", changed(PLAIN, 4, 255), 76, "after 60 of"],
    ["255 axes", changed(PLAIN, 3, 255), 76, "header of 1024 bytes"],
  ])("refuses %s, saying where and what", async (_, bytes, offset, text) => {
    const plainError = await errorOf(bytes);
    expect(plainError.offset).toBe(offset);
    expect(plainError.message).toContain(text);
    const zipped = await errorOf(new Uint8Array(gzipSync(bytes)));
    expect(zipped.offset).toBe(offset);
    expect(zipped.message).toContain("(of the decompressed data)");
  });

  it("refuses gzip data that is cut off, has bytes added or holds two members", async () => {
    await errorOf(Uint8Array.from([0x1f, 0x8b]));
    const extra = [[0], [1, 2, 3], [...new Uint8Array(8)], [...new Uint8Array(5000).fill(7)], [...GZIP]];
    for (const added of extra) await errorOf(Uint8Array.from([...GZIP, ...added]));
  });

  it("allocates by what the file can hold, not by what it promises", async () => {
    const error = await errorOf(changed(GZIP, GZIP.length - 4, 255, 255, 255, 255));
    expect(error.message).toContain("promises 4294967295 bytes");
    const bomb = new Uint8Array(gzipSync(new Uint8Array(5_000_000)));
    const shrunk = await errorOf(changed(bomb, bomb.length - 4, 16, 0, 0, 0));
    expect(shrunk.message).toContain("promises 16 bytes but the data holds more");
  });

  it("locates damage in a large gzip file to its neighbourhood", async () => {
    const random = new Random(5);
    const noise = Uint8Array.from({ length: 200_000 }, () => random.integer(256));
    const bytes = new Uint8Array(gzipSync(encodeIdx([200_000], noise)));
    const half = await errorOf(bytes.slice(0, 100_000));
    expect(half.offset).toBeLessThanOrEqual(100_000);
    const damaged = await errorOf(changed(bytes, 120_000, bytes[120_000]! ^ 255));
    expect(damaged.offset).toBeGreaterThan(110_000);
  });

  it("refuses every truncation, plain and gzip", async () => {
    for (const whole of [PLAIN, GZIP]) {
      for (let length = 0; length < whole.length; length++) await errorOf(whole.slice(0, length));
    }
  });

  it("refuses each damaged gzip byte, or reads the right array all the same", async () => {
    const random = new Random(6);
    for (let at = 0; at < GZIP.length; at++) {
      const flips = [1 << random.integer(8), 1 + random.integer(255), 255];
      for (const flip of flips) await readsRightOrRefuses(changed(GZIP, at, GZIP[at]! ^ flip), DATA);
    }
  });

  it("refuses each damaged plain header byte; a damaged element stays in its place", async () => {
    const random = new Random(7);
    for (let at = 0; at < PLAIN.length; at++) {
      for (const flip of [1 << random.integer(8), 1 + random.integer(255), 255]) {
        const damaged = changed(PLAIN, at, PLAIN[at]! ^ flip);
        if (at < 16) await errorOf(damaged);
        else expect((await decodeIdx(damaged, "f.idx")).data).toEqual(damaged.slice(16));
      }
    }
  });

  it("never fails in another way on random bytes after a plausible start", async () => {
    const random = new Random(8);
    for (let i = 0; i < 300; i++) {
      const source = i % 2 ? GZIP : PLAIN;
      const kept = random.integer(source.length);
      const bytes = Uint8Array.from(source, (byte, at) => (at < kept ? byte : random.integer(256)));
      const outcome = await decodeIdx(bytes, "f.idx").catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DataError);
    }
  });
});

async function readsRightOrRefuses(bytes: Uint8Array, right: Uint8Array): Promise<void> {
  const outcome = await decodeIdx(bytes, "f.idx").catch((error: unknown) => error);
  if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DataError);
  else expect(outcome).toEqual({ shape: SHAPE, data: right });
}
