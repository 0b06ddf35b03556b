import { asTheyStand, type Chain, declareChain, evaluateChain } from "./chain.ts";
import type { View } from "./operand.ts";
import { packed, type Width } from "./width.ts";

/**
 * How a kernel over flat vectors comes by the elements of the one that it takes: it reads them, or it does the last
 * elementwise operations of the program before first.
 */
export interface Prologue {
  readonly chain: Chain;
  /** The half of the chain's result. */
  readonly half: "primal" | "tangent";
}

/** The elements are read as they are. */
export const reading = (view: View): Prologue => ({ chain: asTheyStand({ primal: view }), half: "primal" });

/** The first binding behind those of a prologue. */
export const behind = ({ chain }: Prologue): number => 2 * chain.leaves.length;

export const declarePrologue = ({ chain }: Prologue, width: Width = 1): string => declareChain(chain, width);

/** WGSL that computes the elements from `width` times `i` (WGSL) on, so many, and an expression for them. */
export function evaluatePrologue(
  { chain, half }: Prologue,
  width: Width = 1,
): { readonly code: string; readonly value: string } {
  const { code, results } = evaluateChain(chain, "i", width);
  return { code, value: packed(results.map(({ value, tangent }) => (half === "primal" ? value : tangent!))) };
}

/** WGSL with entry point `main`, and the elements, or vectors of neighbours, that its threads stride over in each lane. */
export interface FlatKernel {
  readonly code: string;
  readonly elements: number;
}
