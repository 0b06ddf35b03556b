/** Row-major images with values in [0, 1] and a constant 1 at the end of each row, and class numbers. */
export interface Data {
  /** [train, inputs] */
  trainX: Float32Array;
  /** [train], half of them redrawn uniformly. */
  trainY: Int32Array;
  /** [train], before that. */
  trueY: Int32Array;
  /** [val, inputs] */
  valX: Float32Array;
  /** [val] */
  valY: Int32Array;
}

/** `k` for a reverse sweep over the last k steps, `gamma` for the greedy accumulation. */
export interface Estimator {
  readonly name: string;
  readonly k?: number;
  readonly gamma?: number;
}

export interface Checksum {
  norm: number;
  first: number[];
}

export declare const workload: {
  readonly train: number;
  readonly val: number;
  readonly inputs: number;
  readonly classes: number;
  readonly steps: number;
  readonly lr: number;
  readonly momentum: number;
  readonly l2: number;
};
export declare const estimators: readonly Estimator[];
export declare function generate(seed?: number): Data;
export declare function checksum(hypergradient: ArrayLike<number>): Checksum;
export declare function dump(folder: string, data?: Data): void;
