import type { ConvAsked, ConvVariant } from "../../shaders/conv.ts";
import type { MatmulShape, MatmulTile } from "../../shaders/matmul.ts";
import type { Variants } from "../../shaders/variants.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { environment } from "../../src/host/runtime.ts";
import { divisor } from "./divisor.ts";

const tile = (
  { product, conv: { c, o, stride } }: ConvAsked,
  { subgroup, cols = 2 }: { subgroup?: number; cols?: number } = {},
): ConvVariant => ({
  channels: divisor(product === "input gradient" ? c : o, 2),
  cols: product === "input gradient" ? cols * stride : cols,
  ...(product === "weight gradient" && { parts: 2 }),
  ...(subgroup !== undefined && { subgroup }),
});

/** One variant of each kernel for all shapes, by name; those that the adapter cannot have are left out. */
export function forcedVariants({ traits: { subgroupSize: threads } }: Gpu): Record<string, Variants> {
  const of = (
    matmul: MatmulTile | ((shape: MatmulShape) => MatmulTile),
    conv: (asked: ConvAsked) => ConvVariant,
  ): Variants => ({
    matmul: typeof matmul === "function" ? matmul : () => matmul,
    conv,
  });
  /** Whole rows, where a thread can hold them. */
  const wide = ({ n }: MatmulShape) => Math.min(16, n);
  const square = { rowThreads: 8, colThreads: 8, depth: 4 };
  return {
    "registers; plain": of({ memory: "register", rows: 2, cols: 3, threads: 16, unroll: 4 }, () => "plain"),
    "registers, whole rows; plain": of(
      (shape) => ({ memory: "register", rows: 2, cols: wide(shape), threads: 16, unroll: 2 }),
      () => "plain",
    ),
    "registers, one output; tiles": of(
      { memory: "register", rows: 1, cols: 1, threads: 64, unroll: 1 },
      (asked) => tile(asked),
    ),
    "registers, four columns; tiles of four columns": of(
      { memory: "register", rows: 1, cols: 4, threads: 16, unroll: 2 },
      (asked) => tile(asked, { cols: 4 }),
    ),
    "shared memory; implicit products": of(
      { memory: "shared", rows: 2, cols: 2, ...square, parts: 1 },
      () => "implicit",
    ),
    "shared memory, sums in parts; implicit products": of(
      { memory: "shared", rows: 1, cols: 4, ...square, parts: 3 },
      () => "implicit",
    ),
    ...(threads !== undefined && {
      "subgroups sharing columns; tiles with subgroups": of(
        (shape) => ({ memory: "subgroup", shared: "col", rows: 2, cols: wide(shape), threads, unroll: 2 }),
        (asked) => tile(asked, { subgroup: threads }),
      ),
      "subgroups sharing rows; tiles with subgroups": of(
        { memory: "subgroup", shared: "row", rows: 3, cols: 1, threads, unroll: 4 },
        (asked) => tile(asked, { subgroup: threads, cols: 4 }),
      ),
    }),
  };
}

/**
 * The adapter's device; where FORCED_VARIANT is set, with that one of the `forcedVariants` for all kernels, so that any
 * suite can be run with each of them in turn.
 */
export async function openGpu(): Promise<Gpu> {
  const gpu = await Gpu.open();
  const name = environment("FORCED_VARIANT");
  if (name === undefined) return gpu;
  const all = forcedVariants(gpu);
  gpu.close();
  const variants = all[name];
  if (variants === undefined) throw new Error(`FORCED_VARIANT: there are ${Object.keys(all).join(" | ")}`);
  return await Gpu.open({ variants });
}
