import type { View } from "../../shaders/operand.ts";
import type { Block } from "../gpu/block.ts";
import { type BoundPrologue, readingOf } from "../graph/bound_prologue.ts";

/** WGSL of the element that a kernel has at hand of w, and of the direction of the product that it takes. */
export interface AtHand {
  readonly w?: string;
  readonly direction?: string;
}

/**
 * How a kernel comes by the elements of a vector: from a block, or from the program that ran right before. To be asked
 * for when everything has its place in memory.
 */
export type Supply = (atHand?: AtHand) => BoundPrologue;

/** A vector that stands in a block. */
export const standing =
  (block: Block, where: { readonly view: View; readonly count: number; readonly lanes: number }): Supply =>
  () =>
    readingOf({ block }, where);
