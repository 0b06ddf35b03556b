import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { DataError } from "../../src/data/error.ts";
import { decodeNpz, encodeNpz } from "../../src/data/npz.ts";

/** Of `numpy.savez_compressed(w=…, n=…, s=…)`, NumPy 2.4: float32 [2, 2], uint32 [2], int32 without axes. */
const byNumpy =
  "UEsDBC0AAAAIAAAAIQCqgCRL//////////8FABQAdy5ucHkBABAAkAAAAAAAAABUAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CkaaOgq1CmQDLgaGA/YMDAwNQFTPCGQAAFBLAwQtAAAACAAAACEANRHFtf//////////BQAUAG4ubnB5AQAQAIgAAAAAAAAATAAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBuU2qirqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RpGOpo6CrUKFAAuRgYGBlYGhgYAUEsDBC0AAAAIAAAAIQDd/dRd//////////8FABQAcy5ucHkBABAAhAAAAAAAAABHAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TaaKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5Gpo6CrUKFAGuv////wcAUEsBAi0DLQAAAAgAAAAhAKqAJEtUAAAAkAAAAAUAAAAAAAAAAAAAAIABAAAAAHcubnB5UEsBAi0DLQAAAAgAAAAhADURxbVMAAAAiAAAAAUAAAAAAAAAAAAAAIABiwAAAG4ubnB5UEsBAi0DLQAAAAgAAAAhAN391F1HAAAAhAAAAAUAAAAAAAAAAAAAAIABDgEAAHMubnB5UEsFBgAAAAADAAMAmQAAAIwBAAAAAA==";

const words = Uint32Array.of(0x7fc0_1234, 0xffa0_0001, 0x8000_0000, 1, 0x7f80_0000, 0x3f80_0000);
const sample = {
  arrays: {
    "first moment 2": { shape: [2, 3], data: new Float32Array(words.slice().buffer) },
    α: { shape: [6], data: words },
    seven: { shape: [], data: Int32Array.of(-7) },
    none: { shape: [0, 4], data: new Float64Array(0) },
    odd: { shape: [3], data: new Uint8Array([1, 2, 3, 4]).subarray(1) },
  },
  files: { "about.json": new TextEncoder().encode('{"step":3}') },
};

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => [
  ...new Uint8Array(buffer, byteOffset, byteLength),
];

test("keeps names, shapes, types and every bit", () => {
  const { arrays, files } = decodeNpz(encodeNpz(sample), "a.npz");
  expect(Object.keys(arrays)).toEqual(Object.keys(sample.arrays));
  for (const [name, { shape, data }] of Object.entries(sample.arrays)) {
    expect(arrays[name]!.shape).toEqual(shape);
    expect(arrays[name]!.data.constructor).toBe(data.constructor);
    expect(bytesOf(arrays[name]!.data)).toEqual(bytesOf(data));
  }
  expect(files).toEqual(sample.files);
});

test("the same arrays give the same bytes", () => {
  expect(encodeNpz(sample)).toEqual(encodeNpz(sample));
});

test("reads what NumPy writes", () => {
  const { arrays } = decodeNpz(new Uint8Array(Buffer.from(byNumpy, "base64")), "numpy.npz");
  expect(arrays.w!.shape).toEqual([2, 2]);
  expect(arrays.w!.data).toEqual(Float32Array.of(1.5, -0, Number.POSITIVE_INFINITY, 2 ** -149));
  expect(arrays.n!.data).toEqual(Uint32Array.of(1, 2 ** 31 + 5));
  expect(arrays.s).toEqual({ shape: [], data: Int32Array.of(-3) });
});

describe("refuses", () => {
  const whole = encodeNpz(sample);
  const npy = (header: string, data: number[]) => {
    const text = `\x93NUMPY\x01\x00\x76\x00${header.padEnd(117)}\n`;
    const floats = new Uint8Array(Float32Array.from(data).buffer);
    return zipSync({ "w.npy": new Uint8Array([...Buffer.from(text, "latin1"), ...floats]) });
  };
  const flipped = (at: number) => whole.map((byte, index) => (index === at ? byte ^ 4 : byte));

  test("a file cut off anywhere", () => {
    for (const length of [0, 3, 40, whole.length >> 1, whole.length - 1])
      expect(() => decodeNpz(whole.slice(0, length), "cut.npz")).toThrow(DataError);
  });

  test("every changed byte of its arrays", () => {
    const first = 30 + "first moment 2.npy".length;
    for (let at = first; at < first + 80; at += 7)
      expect(() => decodeNpz(flipped(at), "flipped.npz")).toThrow(
        /^flipped\.npz: at byte 0: .*copy or download it again/,
      );
  });

  test.each([
    ["booleans", "{'descr':'|b1','fortran_order':False,'shape':(8,)}", /w\.npy: it holds no numbers/],
    [
      "big-endian numbers",
      "{'descr':'>f4','fortran_order':False,'shape':(2,)}",
      /w\.npy: it is no NPY array/,
    ],
    [
      "columns first",
      "{'descr':'<f4','fortran_order':True,'shape':(1,2)}",
      /column-major order; save numpy\.asc/,
    ],
    [
      "too few",
      "{'descr':'<f4','fortran_order':False,'shape':(3,)}",
      /it holds 2 numbers, its shape \[3\] asks/,
    ],
  ])("%s", (_what, header, message) => {
    expect(() => decodeNpz(npy(header, [1, 2]), "bad.npz")).toThrow(message);
  });
});
