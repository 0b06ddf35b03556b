/** `k` for a reverse sweep over the last k steps, `gamma` for the greedy accumulation. */
export interface Estimator {
  readonly name: string;
  readonly k?: number;
  readonly gamma?: number;
}

export interface Workload {
  readonly name: string;
  readonly about: string;
  /** The built-in peers that have it. */
  readonly peers: readonly string[];
  readonly tasks: number;
  /** Examples of a task. */
  readonly train: number;
  readonly val: number;
  /** Of a linear model, with the constant 1. */
  readonly inputs?: number;
  /** Channels, rows and columns. */
  readonly image?: readonly [number, number, number];
  readonly layers?: readonly { channels: number; stride: number; pool: number }[];
  /** The layers that are hyperparameters, counted from 1; without, those are weights of the training examples. */
  readonly warp?: readonly number[];
  readonly classes: number;
  readonly noise: number;
  readonly steps: number;
  readonly lr: number;
  readonly momentum: number;
  readonly l2: number;
  readonly estimators: readonly Estimator[];
  readonly tolerance: number;
}

export declare const workloads: Readonly<Record<string, Workload>>;
export declare function workloadAsked(): Workload;
export declare function parameterShapes(workload: Workload): Record<string, number[]>;
export declare function warpNames(workload: Workload): string[];
export declare function encode(numbers: ArrayLike<number>): string;
export declare function decode(text: string, bytes?: 4 | 8): Float32Array | Float64Array;
