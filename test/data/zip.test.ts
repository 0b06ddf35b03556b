import { strFromU8, strToU8, Zip, ZipDeflate, ZipPassThrough, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { crc32 } from "../../src/data/crc32.ts";
import { DataError } from "../../src/data/error.ts";
import { readZip } from "../../src/data/zip.ts";
import { errorOf } from "./memory-files.ts";

const FILES = { "a.txt": "first", "folder/b.txt": "second ".repeat(40), empty: "" };
const DAMAGED_WORDS = /damaged|cut off|ends|checksum|not here/;

const archive = () =>
  zipSync(Object.fromEntries(Object.entries(FILES).map(([name, text]) => [name, strToU8(text)])));

const contentsOf = (bytes: Uint8Array) =>
  Object.fromEntries(readZip(bytes, "x.zip").map((entry) => [entry.name, strFromU8(entry.read())]));

/** Sizes and checksums behind the data, as a writer that cannot seek leaves them. */
function streamed(): Uint8Array {
  const chunks: Uint8Array[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    chunks.push(chunk);
  });
  Object.entries(FILES).forEach(([name, text], i) => {
    const file = i === 0 ? new ZipPassThrough(name) : new ZipDeflate(name);
    zip.add(file);
    file.push(strToU8(text), true);
  });
  zip.end();
  return Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
}

/** Where a four-byte signature stands, the n-th time. */
function find(bytes: Uint8Array, signature: string, nth = 0): number {
  let at = -1;
  const text = strFromU8(bytes, true);
  for (let i = 0; i <= nth; i++) at = text.indexOf(signature, at + 1);
  return at;
}

const LOCAL = "PK\x03\x04";
const CENTRAL = "PK\x01\x02";
const END = "PK\x05\x06";

describe("crc32", () => {
  it("gives the check value of the catalogue", () => {
    expect(crc32(strToU8("123456789"))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array())).toBe(0);
  });
});

describe("readZip", () => {
  it("unpacks stored, deflated and empty files, and leaves out folders", () => {
    expect(contentsOf(archive())).toEqual(FILES);
    const stored = zipSync({ a: [strToU8("plain"), { level: 0 }], "folder/": new Uint8Array() });
    expect(contentsOf(stored)).toEqual({ a: "plain" });
  });

  it("takes sizes from the central directory when the archive was written as a stream", () => {
    const bytes = streamed();
    const flags = new DataView(bytes.buffer).getUint16(find(bytes, LOCAL) + 6, true);
    expect(flags & 8).toBe(8);
    expect(new DataView(bytes.buffer).getUint32(find(bytes, LOCAL) + 18, true)).toBe(0);
    expect(contentsOf(bytes)).toEqual(FILES);
  });

  it("reads an archive that lies inside a larger buffer, has a comment, or is empty", () => {
    const bytes = archive();
    const around = new Uint8Array(bytes.length + 20);
    around.set(bytes, 10);
    expect(contentsOf(around.subarray(10, 10 + bytes.length))).toEqual(FILES);
    const commented = Uint8Array.from([...bytes, ...strToU8("PK\x05\x06 is no end")]);
    new DataView(commented.buffer).setUint16(bytes.length - 2, commented.length - bytes.length, true);
    expect(contentsOf(commented)).toEqual(FILES);
    expect(contentsOf(zipSync({}))).toEqual({});
  });

  it("refuses every cut", () => {
    const bytes = archive();
    for (let length = 0; length < bytes.length; length++) {
      expect(() => contentsOf(bytes.subarray(0, length)), `cut to ${length}`).toThrow(DataError);
    }
  });

  it("finds every changed byte, or it changes no contents", () => {
    const bytes = archive();
    let found = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        const damaged = bytes.slice();
        damaged[at]! ^= flip;
        try {
          expect(Object.values(contentsOf(damaged))).toEqual(Object.values(FILES));
        } catch (error) {
          expect(error, `byte ${at} ^ ${flip}`).toBeInstanceOf(DataError);
          found++;
        }
      }
    }
    console.log(`${found} of ${3 * bytes.length} changes found; the others are names, times and the like`);
    expect(found).toBeGreaterThan(bytes.length);
  });

  it.each<[string, (bytes: Uint8Array, view: DataView) => number, RegExp]>([
    [
      "another kind of file",
      (bytes) => {
        bytes.set([0x89, 0x50]);
        return 0;
      },
      /starts with 89 50 03 04, not 50 4b 03 04/,
    ],
    [
      "a missing end",
      (bytes) => {
        bytes[find(bytes, END)] = 0;
        return bytes.length;
      },
      /before its central directory does/,
    ],
    [
      "a directory that is elsewhere",
      (bytes, view) => {
        view.setUint32(find(bytes, END) + 16, 5, true);
        return 5;
      },
      /record 0 of 3/,
    ],
    [
      "a damaged second record",
      (bytes) => {
        const at = find(bytes, CENTRAL, 1);
        bytes[at] = 0;
        return at;
      },
      /record 1 of 3/,
    ],
    [
      "fewer records than there are",
      (bytes, view) => {
        const at = find(bytes, END);
        view.setUint16(at + 10, 2, true);
        return at;
      },
      /other records than the 2/,
    ],
    [
      "a ZIP64 archive",
      (bytes, view) => {
        const at = find(bytes, END);
        view.setUint16(at + 10, 0xffff, true);
        return at;
      },
      /ZIP64/,
    ],
    [
      "a name that runs over the end",
      (bytes, view) => {
        const at = find(bytes, CENTRAL);
        view.setUint16(at + 28, 5000, true);
        return at;
      },
      /cut off/,
    ],
  ])("refuses %s", async (_, damage, text) => {
    const bytes = archive();
    const offset = damage(bytes, new DataView(bytes.buffer));
    const error = await errorOf(() => contentsOf(bytes));
    expect(error).toMatchObject({ file: "x.zip", offset });
    expect(error.message).toMatch(text);
  });

  it.each<[string, (entry: number, record: number, bytes: Uint8Array, view: DataView) => unknown, RegExp]>([
    ["a local header that is not there", (entry, _, bytes) => bytes.set([0], entry), /does not begin here/],
    ["a wrong checksum", (_, record, _b, view) => view.setUint32(record + 16, 7, true), /checksum/],
    [
      "another length",
      (_, record, _b, view) => view.setUint32(record + 24, 290, true),
      /holds 280 bytes, not 290/,
    ],
    [
      "a promise that is too great",
      (_, record, _b, view) => view.setUint32(record + 24, 1e9, true),
      /more than/,
    ],
    ["data over the end", (_, record, _b, view) => view.setUint32(record + 20, 1e6, true), /over the end/],
    ["another method", (_, record, _b, view) => view.setUint16(record + 10, 14, true), /method 14/],
    ["encryption", (_, record, _b, view) => view.setUint16(record + 8, 1, true), /password/],
    [
      "damaged deflate data",
      (entry, _, bytes) => bytes.fill(0xff, entry + 42, entry + 52),
      /cannot be decompressed/,
    ],
  ])("refuses an entry with %s, by name and offset", async (_, damage, text) => {
    const bytes = archive();
    const [entry, record] = [find(bytes, LOCAL, 1), find(bytes, CENTRAL, 1)];
    damage(entry, record, bytes, new DataView(bytes.buffer));
    const error = await errorOf(() => contentsOf(bytes));
    expect(error).toMatchObject({ file: "x.zip", offset: entry });
    expect(error.message).toMatch(text);
    expect(error.message).toContain("folder/b.txt");
    if (!/password|method/.test(error.message)) expect(error.message).toMatch(DAMAGED_WORDS);
  });
});
