import type { Workload } from "./workload.mjs";

/** Row-major images and class numbers; the linear workload has a constant 1 at the end of each row. */
export interface Data {
  /** [tasks, train, inputs] */
  trainX: Float32Array;
  /** [tasks, train] */
  trainY: Int32Array;
  /** [tasks, val, inputs] */
  valX: Float32Array;
  /** [tasks, val] */
  valY: Int32Array;
}

export declare function generate(workload: Workload, seed?: number): Data;
export declare function firstValues(workload: Workload, seed?: number): Record<string, Float32Array>;
export declare function dump(workload: Workload, folder: string): void;
