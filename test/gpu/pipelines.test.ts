import { expect, test } from "vitest";
import { linearGrid } from "../../shaders/operand.ts";
import { Block } from "../../src/gpu/block.ts";
import type { Dispatch } from "../../src/gpu/dispatch.ts";
import { PIPELINES } from "../../src/gpu/gpu.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `which pipelines a device keeps, on ${adapter}`);

const block = new Block("ones", "bookkeeping", 4);

/** Writes `value`. */
const writing = (value: number): Dispatch => ({
  label: `write ${value}`,
  code: `
    @group(0) @binding(0) var<storage, read_write> ones: array<u32>;
    @compute @workgroup_size(1) fn main() { ones[0] = ${value}u; }`,
  bindings: [{ binding: 0, access: "overwrite", resource: { block } }],
  grid: linearGrid(1),
  flops: 0,
  bytes: 4,
});

test("equal kernels are compiled once, the one that was not asked for longest is forgotten first", async () => {
  const compiled = async (value: number) => {
    const before = gpu().counters.pipelines;
    await gpu().pipeline(writing(value));
    return gpu().counters.pipelines - before;
  };
  for (let value = 0; value < PIPELINES; value++) expect(await compiled(value)).toBe(1);
  expect(await compiled(0)).toBe(0);
  expect(await compiled(PIPELINES)).toBe(1);
  expect(await compiled(0)).toBe(0);
  expect(await compiled(1)).toBe(1);
});
