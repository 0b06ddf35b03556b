/** What a block of GPU memory is for; the memory report adds up by these. */
export type Role =
  | "parameters"
  | "momentum"
  | "hyperparameters"
  | "gradients"
  | "adjoint"
  | "trajectory"
  | "activations"
  | "data"
  | "bookkeeping";

/**
 * A buffer that a plan intends to have. Nothing is allocated until the plan is built, so that its bytes can be
 * stated, and refused, beforehand.
 */
export class Block {
  readonly label: string;
  readonly role: Role;
  bytes: number;
  initial: ArrayBufferView | undefined;

  constructor(label: string, role: Role, bytes: number, initial?: ArrayBufferView) {
    this.label = label;
    this.role = role;
    this.bytes = align(Math.max(bytes, 4), 16);
    this.initial = initial;
  }
}

/** The part of a block that one binding sees. A `dynamic` offset may differ from dispatch to dispatch. */
export interface Resource {
  readonly block: Block;
  readonly offset?: number;
  readonly size?: number;
  readonly dynamic?: boolean;
}

/** Offsets of bindings must be multiples of this many bytes on every adapter (the limit's default in WebGPU). */
export const OFFSET_ALIGNMENT = 256;

export function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
