import type { MatmulTile } from "./matmul/choose_tile.ts";
import type { MatmulShape } from "./matmul/product.ts";
import { registerGrid, registerTile } from "./matmul/register_tile.ts";
import { sharedGrid, sharedTile } from "./matmul/shared_tile.ts";
import { subgroupGrid, subgroupTile } from "./matmul/subgroup_tile.ts";

export {
  chooseMatmulTile,
  holdsRows,
  type MatmulTile,
  matmulCandidates,
  matmulClass,
} from "./matmul/choose_tile.ts";
export type { MatmulShape } from "./matmul/product.ts";

export interface MatmulConfig extends MatmulShape {
  tile: MatmulTile;
}

/**
 * WGSL, entry point `main`, of `out[m×n] = A[m×k]·B[k×n] + bias[n]` and of its tangent
 * `dout = dA·B + A·dB + dbias`, one lane for each z, in one pass that reads every factor once; beside it, where they have a
 * place, of `sum[m] = Σ_p A(·, p)` and its tangent, and after it of what is done with each element and each row.
 *
 * `A(i,p) = a[offset + lane·l + i·aRow + p·aCol]`, `B(p,j)` likewise, `out` is row-major.
 * Bindings of group 0, declared only where used: 0 a, 1 da, 2 b, 3 db, 4 bias, 5 dbias, 6 out, 7 dout,
 * 8 sum, 9 dsum, and those of what is done after.
 */
export function matmul(config: MatmulConfig): string {
  const { tile, primal, tangent } = config;
  if (!primal && !tangent) {
    throw new Error("matmul has nothing to compute: set `primal`, `tangent` or both.");
  }
  switch (tile.memory) {
    case "register":
      return registerTile(config, tile);
    case "shared":
      return sharedTile(config, tile);
    case "subgroup":
      return subgroupTile(config, tile);
  }
}

/** The parts in which a tile leaves its sums, one m×n behind another; 1: they are whole. */
export const matmulParts = (tile: MatmulTile): number => (tile.memory === "shared" ? tile.parts : 1);

/** Workgroups in x and y; the caller adds the lanes as z. */
export function matmulGrid({ tile, ...shape }: MatmulConfig): [number, number] {
  switch (tile.memory) {
    case "register":
      return registerGrid(shape, tile);
    case "shared":
      return sharedGrid(shape, tile);
    case "subgroup":
      return subgroupGrid(shape, tile);
  }
}
