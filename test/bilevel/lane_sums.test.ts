import { expect, test } from "vitest";
import {
  dot,
  type LaneSum,
  SECTION,
  squaredDistance,
  squaredLength,
  store,
  sumThreads,
} from "../../shaders/lane_sum.ts";
import type { View } from "../../shaders/operand.ts";
import { BLOCK } from "../../shaders/reduce.ts";
import { LaneSums } from "../../src/bilevel/lane_sums.ts";
import { Block } from "../../src/gpu/block.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { Executable } from "../../src/gpu/executable.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";

let worst = 0;
const gpu = withGpu(
  (adapter) =>
    `sums over the elements of each lane, whole and in parts, against float64: at most ${worst.toFixed(2)} of their budgets, on ${adapter}`,
);

const LANES = 3;
const random = new Random(41);

/** Three lanes of normal numbers, `padding` elements apart, that no sum may read. */
function vectors(count: number, padding: number) {
  const lane = count + padding;
  const data = new Float32Array(lane * LANES).fill(Number.NaN);
  for (let l = 0; l < LANES; l++) {
    for (let i = 0; i < count; i++) data[l * lane + i] = random.normal();
  }
  const block = new Block("vectors", "adjoint", data.byteLength, data);
  const rows = Array.from({ length: LANES }, (_, l) => data.subarray(l * lane, l * lane + count));
  return { block, rows, view: { offset: 0, lane } satisfies View };
}

const products = (a: Float32Array, b: Float32Array) => Array.from(a, (x, i) => x * b[i]!);

const counts = [1, 2, 7, 255, 257, SECTION, SECTION + 1, 2 * SECTION, 100_003];
const kinds = ["hardware", "software"] as const;

test.each(counts.flatMap((count) => kinds.map((kind) => [count, kind] as const)))(
  "of %d elements, as on %s",
  async (count, kind) => {
    const [x, y] = [vectors(count, 5), vectors(count, 5)];
    const differences = x.rows.map((row, l) => Array.from(row, (value, i) => value - y.rows[l]![i]!));
    const cases: readonly { sum: LaneSum; of: readonly Block[]; terms: number[][] }[] = [
      {
        sum: dot(count, x.view, y.view),
        of: [x.block, y.block],
        terms: x.rows.map((row, l) => products(row, y.rows[l]!)),
      },
      {
        sum: squaredLength(count, x.view),
        of: [x.block],
        terms: x.rows.map((row) => products(row, row)),
      },
      {
        sum: squaredDistance(count, x.view),
        of: [x.block, y.block],
        terms: differences.map((row) => row.map((value) => value * value)),
      },
    ];
    const sums = new LaneSums({ kind });
    const sequence = new Sequence("sums");
    const results = cases.map(({ sum, of }) => {
      const result = new Block("result", "bookkeeping", 4 * (2 + LANES));
      sums.record(sequence, {
        label: "sum",
        lanes: LANES,
        sum,
        operands: of.map((block) => ["read", { block }]),
        finish: store(2),
        results: [["write", { block: result }]],
        flops: 2,
      });
      return result;
    });
    const executable = await Executable.build(gpu(), [sequence]);
    executable.run(sequence);
    for (const [k, { terms }] of cases.entries()) {
      const found = await executable.readFloats(results[k]!, 2, LANES);
      for (const [l, row] of terms.entries()) {
        const exact = row.reduce((sum, term) => sum + term, 0);
        const size = row.reduce((sum, term) => sum + Math.abs(term), 0);
        // Three roundings of a term, and one for each addition on its way: in a block, over a thread's blocks, in the trees.
        const share = Math.min(count, SECTION) / sumThreads({ kind });
        const budget = (3 + Math.min(share, BLOCK) + share / BLOCK + 2 * 8 + 1) * 2 ** -24 * size;
        expect(Math.abs(found[l]! - exact)).toBeLessThanOrEqual(budget);
        worst = Math.max(worst, Math.abs(found[l]! - exact) / budget);
      }
    }
    executable.destroy();
  },
);

test("long ones share the memory of their parts", () => {
  const sums = new LaneSums(gpu().traits);
  const sequence = new Sequence("sums");
  const view = { offset: 0, lane: 20_000 };
  const [x, result] = [new Block("x", "adjoint", 80_000), new Block("result", "bookkeeping", 4)];
  for (let k = 0; k < 5; k++) {
    sums.record(sequence, {
      label: "sum",
      lanes: 1,
      sum: squaredLength(20_000, view),
      operands: [["read", { block: x }]],
      finish: store(0),
      results: [["write", { block: result }]],
      flops: 2,
    });
  }
  const blocks = new Set(
    sequence.dispatches.flatMap(({ bindings }) => bindings.map(({ resource }) => resource.block)),
  );
  expect(sequence.dispatches).toHaveLength(10);
  expect(blocks.size).toBe(3);
});
