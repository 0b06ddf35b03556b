import { expect, test } from "vitest";
import { encodeNpz } from "../../src/data/npz.ts";
import {
  decodeCheckpoint,
  encodeCheckpoint,
  type SavedCheckpoint,
  writeCheckpoint,
} from "../../src/report/checkpoint.ts";

const saved: SavedCheckpoint = {
  checkpoint: {
    step: 12,
    reshuffles: 3,
    of: { estimator: "greedy, gamma 0.9", w_0: "0123456789abcdef" },
    state: { α: Float32Array.of(1, Number.NaN, -0), progress: Uint32Array.of(12) },
  },
  settings: { outerSteps: 40, noise: 0.5, data: "glyphs" },
  adapter: "a GPU",
};

test("a checkpoint comes back as it was", () => {
  expect(decodeCheckpoint(encodeCheckpoint(saved), "a.npz")).toEqual(saved);
});

test("a damaged file is refused, with its name and what to do", () => {
  const bytes = encodeCheckpoint(saved);
  bytes[60]! ^= 1;
  expect(() => decodeCheckpoint(bytes, "run.npz")).toThrow(
    /^run\.npz: at byte 0: .*checksum.*copy or download/,
  );
  expect(() => decodeCheckpoint(bytes.subarray(0, 100), "run.npz")).toThrow(
    /^run\.npz: at byte 100: .*ends before/,
  );
});

test("an NPZ file of something else is no checkpoint", () => {
  const bytes = encodeNpz({ arrays: { x: { shape: [1], data: Float32Array.of(1) } } });
  expect(() => decodeCheckpoint(bytes, "x.npz")).toThrow(
    /x\.npz: .*no checkpoint.*give a file that --checkpoint wrote/,
  );
});

test.each<[string, unknown]>([
  ["the checkpoint alone", saved.checkpoint],
  ["no settings", { checkpoint: saved.checkpoint, adapter: "a GPU" }],
  ["no adapter", { checkpoint: saved.checkpoint, settings: {} }],
  ["a promise", Promise.resolve(saved)],
  ["nothing", undefined],
])("%s is not written: what belongs to it is said", async (_, given) => {
  await expect(writeCheckpoint("/nowhere/run.npz", given as SavedCheckpoint)).rejects.toThrow(
    /give writeCheckpoint\(path, \{ checkpoint, settings, adapter \}\)/,
  );
});
