import type { Strided } from "../operand.ts";

/** Windows of size×size over the planes of x [planes×h×w]; y [planes×oh×ow]. */
export interface Pool {
  readonly planes: number;
  readonly h: number;
  readonly w: number;
  readonly size: number;
  readonly stride: number;
  readonly padding: number;
  readonly oh: number;
  readonly ow: number;
}

/** WGSL with entry point `main`, and what its threads stride over. */
export interface Kernel {
  readonly code: string;
  readonly grid: Strided;
}
