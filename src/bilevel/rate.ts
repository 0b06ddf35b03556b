import type { Coefficient } from "../../shaders/coefficient.ts";

export type { Coefficient };

/** A coefficient of the inner optimizer: a number, or a group of α with one value or one for each step. */
export type Rate =
  | { readonly value: number }
  | { readonly group: string; readonly offset: number; readonly perStep: boolean };

/** A rate as kernels take it: a learned one is read from α. */
export function coefficientOf(rate: Rate): Coefficient {
  if ("value" in rate) return { literal: rate.value };
  return { view: { offset: rate.offset, lane: 0 }, perStep: rate.perStep };
}
