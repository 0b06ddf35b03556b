import { afterAll, expect, test } from "vitest";
import { Arena } from "../../src/gpu/arena.ts";
import { Block } from "../../src/gpu/block.ts";
import { MemoryError } from "../../src/gpu/errors.ts";
import { assertFits, formatBytes, memoryReport } from "../../src/gpu/memory.ts";
import { Random } from "../../src/random.ts";

afterAll(() => console.log("the arena's blocks and the memory report, without a device"));

test("a block is never lent twice at a time, and always large enough", () => {
  const random = new Random(5);
  const arena = new Arena("activations");
  const lent = new Map<Block, number>();
  let most = 0;
  let sum = 0;
  for (let step = 0; step < 2000; step++) {
    if (lent.size > 0 && random.uniform() < 0.5) {
      const block = [...lent.keys()][random.integer(lent.size)]!;
      lent.delete(block);
      arena.release(block);
    } else if (lent.size < 20) {
      const bytes = 4 * (1 + random.integer(1000));
      const block = arena.take(bytes);
      expect(lent.has(block)).toBe(false);
      lent.set(block, bytes);
      sum += bytes;
    }
    most = Math.max(most, lent.size);
    expect([...lent].every(([block, bytes]) => block.bytes >= bytes)).toBe(true);
  }
  expect(arena.blocks).toHaveLength(most);
  expect(memoryReport(arena.blocks).total).toBeLessThan(sum / 10);
});

test("a block that fits tightest is taken; else the largest grows", () => {
  const arena = new Arena("activations");
  const [small, large] = [arena.take(64), arena.take(256)];
  arena.release(large);
  arena.release(small);
  expect(arena.take(60)).toBe(small);
  expect(arena.take(1000)).toBe(large);
  expect(large.bytes).toBe(1008);
  expect(arena.blocks).toEqual([small, large]);
});

const blocks = [
  new Block("w", "parameters", 4000),
  new Block("ring 0", "trajectory", 100_000),
  new Block("E", "bookkeeping", 1),
];

test("a report adds up by role; sizes are multiples of 16", () => {
  expect(memoryReport(blocks)).toEqual({
    parameters: 4000,
    trajectory: 100_000,
    bookkeeping: 16,
    total: 104_016,
  });
});

test("limits: one buffer, one binding, and all together", () => {
  const sound = { buffer: 100_000, binding: 4000, total: 104_016 };
  // Of a trajectory, kernels see one state at a time: the limit of bindings does not concern it.
  expect(() => assertFits(blocks, sound)).not.toThrow();
  expect(() => assertFits(blocks, { buffer: 1e6, binding: 1e6 })).not.toThrow();
  expect(() => assertFits(blocks, { ...sound, binding: 3999 })).toThrow(
    "w (parameters) takes 3.9 KiB, one buffer may hold 3.9 KiB.",
  );
  expect(() => assertFits(blocks, { ...sound, buffer: 65536 })).toThrow(
    "ring 0 (trajectory) takes 97.7 KiB, one buffer may hold 64.0 KiB.",
  );
  const over = () => assertFits(blocks, { ...sound, total: 65536 }, ({ total }) => `Halve ${total}.`);
  expect(over).toThrow(MemoryError);
  expect(over).toThrow(
    "the plan takes 101.6 KiB (parameters 3.9 KiB, trajectory 97.7 KiB, bookkeeping 16 B), allowed are 64.0 KiB. Halve 104016.",
  );
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1.5 * 2 ** 20, "1.5 MiB"],
  [2 ** 31, "2.0 GiB"],
  [2 ** 52, "4096.0 TiB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
