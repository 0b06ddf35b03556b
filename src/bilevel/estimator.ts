import { kindOf } from "../gpu/kind.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import type { Settings } from "./settings.ts";
import type { Unroll } from "./unroll.ts";

/** What the number of products depends on beside T. */
export interface ProductSizes {
  /** P */
  readonly parameters: number;
  /** H */
  readonly hyperparameters: number;
  /** That the linear solve took, where the estimator has one and it ran; else as many as it may take. */
  readonly iterations?: number;
}

/** A way to compute, or to estimate, the hypergradient of one unrolled inner loop. */
export interface Estimator {
  /** The name used everywhere: in flags, tables and JSON. */
  readonly name: string;
  /** The numbers that it was made with. */
  readonly settings?: Settings;
  /** States of the trajectory it stores, for a horizon of `steps`. */
  slots(steps: number): number;
  /** Jacobian and Hessian products it takes, for a horizon of `steps`. */
  products(steps: number, sizes: ProductSizes): number;
  /** Records the inner loop and everything that makes h out of it; E goes to the outer loss. */
  record(unroll: Unroll): void;
}

/** The types say it too, but not to JavaScript. @throws ProblemError */
export function assertEstimator(given: unknown): asserts given is Estimator {
  if (typeof given === "object" && given !== null && "record" in given && "slots" in given) return;
  throw new ProblemError(`estimator is ${kindOf(given)}: give one such as rmd() or greedy({ gamma: 0.9 })`);
}
