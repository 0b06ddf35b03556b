import { batchNorm } from "../../src/graph/operations/batch_norm.ts";
import { conv2d } from "../../src/graph/operations/conv2d.ts";
import { reshape, slice, transpose } from "../../src/graph/operations/copy.ts";
import { crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import {
  elementwise,
  exp,
  log,
  relu,
  sigmoid,
  sin,
  softplus,
  sqrt,
  square,
  tanh,
} from "../../src/graph/operations/elementwise.ts";
import { gather } from "../../src/graph/operations/gather.ts";
import { add, neg, scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { dense, matmul } from "../../src/graph/operations/matmul.ts";
import { div, mul } from "../../src/graph/operations/multiply.ts";
import { avgPool, maxPool } from "../../src/graph/operations/pool.ts";
import { broadcastTo, sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import type { Operations } from "./operations.ts";

/** The operations under test. */
export const graphOperations: Operations<Tensor> = {
  add,
  sub,
  mul,
  div,
  neg,
  scale,
  exp,
  log,
  sqrt,
  sin,
  tanh,
  sigmoid,
  softplus,
  relu,
  square,
  cubic: elementwise("cubic", { f: "x * (x * x - 2.0)", df: "3.0 * x * x - 2.0", ddf: "6.0 * x" }),
  sum,
  broadcastTo,
  reshape,
  slice,
  transpose,
  gather,
  matmul,
  dense,
  conv2d,
  maxPool,
  avgPool,
  batchNorm,
  crossEntropy,
  squaredNorm,
};
