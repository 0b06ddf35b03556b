import type { BatchNormOptions } from "../../src/graph/operations/batch_norm.ts";
import type { Conv2dOptions } from "../../src/graph/operations/conv2d.ts";
import type { MatmulOptions } from "../../src/graph/operations/matmul.ts";

import type { PoolOptions } from "../../src/graph/operations/pool.ts";

export interface ProductOptions<T> extends Omit<MatmulOptions, "bias"> {
  bias?: T;
}

export interface ConvOptions<T> extends Omit<Conv2dOptions, "bias"> {
  bias?: T;
}

export interface NormOptions<T> extends Omit<BatchNormOptions, "scale" | "shift"> {
  scale?: T;
  shift?: T;
}

/**
 * The operations a test's loss is written with, so that one text serves both the graph and the float64 reference.
 */
export interface Operations<T> {
  add(a: T | number, b: T | number): T;
  sub(a: T | number, b: T | number): T;
  mul(a: T | number, b: T | number): T;
  div(a: T | number, b: T | number): T;
  neg(x: T): T;
  scale(factor: number, x: T): T;
  exp(x: T): T;
  log(x: T): T;
  sqrt(x: T): T;
  sin(x: T): T;
  tanh(x: T): T;
  sigmoid(x: T): T;
  softplus(x: T): T;
  relu(x: T): T;
  square(x: T): T;
  /** x³ - 2x, defined by its user. */
  cubic(x: T): T;
  sum(x: T, axes?: number | readonly number[]): T;
  broadcastTo(x: T, shape: readonly number[]): T;
  reshape(x: T, shape: readonly number[]): T;
  slice(x: T, start: number, stop: number, axis?: number): T;
  transpose(x: T, order?: readonly number[]): T;
  gather(x: T, index: T): T;
  matmul(a: T, b: T, options?: ProductOptions<T>): T;
  dense(x: T, weight: T, bias?: T): T;
  conv2d(x: T, weight: T, options?: ConvOptions<T>): T;
  maxPool(x: T, options: PoolOptions): T;
  avgPool(x: T, options: PoolOptions): T;
  batchNorm(x: T, options?: NormOptions<T>): T;
  crossEntropy(logits: T, labels: T): T;
  squaredNorm(x: T | Readonly<Record<string, T>>): T;
}
