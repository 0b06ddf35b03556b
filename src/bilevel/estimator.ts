import type { Settings } from "./settings.ts";
import type { Unroll } from "./unroll.ts";

/** A way to compute, or to estimate, the hypergradient of one unrolled inner loop. */
export interface Estimator {
  /** The name used everywhere: in flags, tables and JSON. */
  readonly name: string;
  /** The numbers that it was made with. */
  readonly settings?: Settings;
  /** States of the trajectory it stores, for a horizon of `steps`. */
  slots(steps: number): number;
  /** Jacobian and Hessian products it takes, at most; of α with so many elements. */
  products(steps: number, hyperparameters: number): number;
  /** Records the inner loop and everything that makes h out of it; E goes to the outer loss. */
  record(unroll: Unroll): void;
}
