import type { Workload } from "./workload.mjs";

export interface Expected {
  /** Whose numbers these are. */
  of?: string;
  /** By estimator. */
  values?: Readonly<Record<string, ArrayLike<number>>>;
  /** Why there is no float64. */
  without?: string;
}

/** A peer's line: `hypergradient` is encoded, and `error` stands in its place after `check`. */
export interface Result {
  peer: string;
  rows?: { estimator: string; hypergradient?: string; error?: number }[];
}

export declare function float64(workload: Workload): Promise<Expected>;
export declare function firstOf(results: readonly Result[]): Expected;
export declare function check(result: Result, expected: Expected): Result;
