import type { ChainPlace } from "./chain.ts";
import { linearMain } from "./operand.ts";

/**
 * An operation on each row of a matrix by itself: WGSL that declares its buffers, and WGSL that does it for row `i` of
 * `lane`. What it holds of the row goes by `z0`, `z1` … and the tangents by `d_z0` ….
 */
export interface RowOperation {
  readonly declarations: string;
  readonly body: string;
}

/** Where the buffers of a row operation go, and what of the row is at hand, so that it is not read. */
export interface RowPlace extends ChainPlace {
  readonly held: { readonly primal: boolean; readonly tangent: boolean };
}

/** In a kernel of its own nothing is at hand. */
export const ALONE: RowPlace = { slot: 0, prefix: "", held: { primal: false, tangent: false } };

/** The kernel of such an operation, a thread for each of `count` rows. */
export const rowKernel = (count: number, { declarations, body }: RowOperation): string => `
${declarations}
${linearMain(count)}
  ${body}
}`;
