import { at, float, input, type View } from "./operand.ts";

/**
 * A number a kernel multiplies with: a constant, or read from a buffer, either one element or one for each inner
 * step. The step table tells `inner.index` = t - 1; `shift` reads another step's element.
 */
export interface Coefficient {
  readonly literal?: number;
  readonly view?: View;
  readonly perStep?: boolean;
  readonly shift?: number;
  /** Divide by it instead. */
  readonly inverse?: boolean;
}

export function declareCoefficient(binding: number, name: string, { view }: Coefficient): string {
  return input(binding, name, view);
}

/** WGSL for the coefficient's value in the current lane. */
export function coefficient(name: string, { inverse, ...given }: Coefficient): string {
  const { literal, view, perStep, shift = 0 } = given;
  if (inverse) return `(1.0 / ${coefficient(name, given)})`;
  if (view === undefined) return float(literal ?? 0);
  return `${name}[${at(view, perStep ? `u32(i32(inner.index) + ${shift})` : "0u")}]`;
}

/** Declares the step table's current row: t - 1, and what the inner optimizer has for the step. */
export function stepTable(binding: number): string {
  return `struct Step { index: u32, constants: vec2f }
@group(0) @binding(${binding}) var<uniform> inner: Step;`;
}
