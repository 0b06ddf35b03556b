/** hypergrad: hypergradients through whole training runs, on the GPU. */

export { adamW } from "./bilevel/adam_w.ts";
export type { Checkpoint, Fingerprint } from "./bilevel/checkpoint.ts";
export type { Columns } from "./bilevel/columns.ts";
export { box, type Constraint, nonNegative, simplex, symmetric } from "./bilevel/constraint.ts";
export type { Estimator, ProductSizes } from "./bilevel/estimator.ts";
export type { FixedPointOptions } from "./bilevel/fixed_point.ts";
export type { InnerOptimizer } from "./bilevel/inner_optimizer.ts";
export type { LinearSolve } from "./bilevel/linear_solve.ts";
export { hypergradient, type OptimizeOptions, type OuterStep, optimize } from "./bilevel/optimize.ts";
export type { LaneEntry } from "./bilevel/outer_log.ts";
export { OuterLoop, type OuterLoopOptions, type TaskData } from "./bilevel/outer_loop.ts";
export { adam, gradientDescent, type OuterOptimizer } from "./bilevel/outer_optimizer.ts";
export { type Batch, type BilevelSpec, bilevel, type Problem, ProblemError } from "./bilevel/problem.ts";
export type { ProductHalves } from "./bilevel/programs.ts";
export type { Settings } from "./bilevel/settings.ts";
export { sgd } from "./bilevel/sgd.ts";
export type { Snapshot, Unroll } from "./bilevel/unroll.ts";
export type { Vectors, Weights } from "./bilevel/vectors.ts";
export { type CharacterOptions, characters } from "./data/characters.ts";
export { type Files, loadCifar10, loadCifar100 } from "./data/cifar.ts";
export { type Dataset, imageSize, split, take } from "./data/dataset.ts";
export { DataError } from "./data/error.ts";
export { glyphs } from "./data/glyphs.ts";
export { loadImageSet } from "./data/image-set.ts";
export { bestThreshold, corruptLabels, flagScore } from "./data/noise.ts";
export { loadOmniglot, type OmniglotOptions } from "./data/omniglot.ts";
export { splitClasses, type Task, type TaskOptions, TaskSampler } from "./data/tasks.ts";
export {
  type CheckOptions,
  checkGradient,
  type DirectionCheck,
  type GradientCheck,
  type GroupCheck,
  type Verdict,
} from "./diagnostics/check_gradient.ts";
export { type Closeness, closeness } from "./diagnostics/closeness.ts";
export {
  type Compared,
  type CompareOptions,
  Comparison,
  type ComparisonResult,
  compare,
  type Refused,
} from "./diagnostics/compare.ts";
export { type Curvature, type CurvatureOptions, curvature } from "./diagnostics/curvature.ts";
export type { Place } from "./diagnostics/derivatives.ts";
export type { Measured, Point, Refusal } from "./diagnostics/entrant.ts";
export {
  type ImplicitBound,
  type ImplicitConstants,
  type ImplicitOptions,
  implicitBound,
  implicitConstants,
  type LipschitzConstants,
} from "./diagnostics/implicit_bound.ts";
export { type KrmdConstants, krmdBound, krmdConstants } from "./diagnostics/krmd_bound.ts";
export type { LanczosOptions, Spectrum } from "./diagnostics/lanczos.ts";
export { comparisonSummary, formatCheck, formatComparison } from "./diagnostics/report.ts";
export { type CgOptions, cg } from "./estimators/cg.ts";
export { checkpointed } from "./estimators/checkpointed.ts";
export { drmad } from "./estimators/drmad.ts";
export { firstOrder } from "./estimators/first_order.ts";
export { fmd, rtho } from "./estimators/fmd.ts";
export { type GreedyOptions, greedy } from "./estimators/greedy.ts";
export { type ImplicitEstimator, implicit, stepOf } from "./estimators/implicit.ts";
export {
  type InexactAdOptions,
  inexactGd,
  inexactHb,
} from "./estimators/inexact_ad.ts";
export { krmd, rmd, t1t2 } from "./estimators/krmd.ts";
export { type NeumannOptions, neumann } from "./estimators/neumann.ts";
export { type NystromOptions, nystrom } from "./estimators/nystrom.ts";
export { reversible } from "./estimators/reversible.ts";
export { reverseSweep, type SweepOptions } from "./estimators/sweep.ts";
export type { Block, Resource } from "./gpu/block.ts";
export * from "./gpu/errors.ts";
export { Gpu, type OpenOptions } from "./gpu/gpu.ts";
export { formatBytes, formatReport, type MemoryReport } from "./gpu/memory.ts";
export { type Differentiable, differentiate } from "./graph/differentiate.ts";
export { type BatchNormOptions, batchNorm } from "./graph/operations/batch_norm.ts";
export { type Conv2dOptions, conv2d } from "./graph/operations/conv2d.ts";
export { flatten, reshape, slice, transpose } from "./graph/operations/copy.ts";
export { correct, crossEntropy } from "./graph/operations/cross_entropy.ts";
export {
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
} from "./graph/operations/elementwise.ts";
export { gather } from "./graph/operations/gather.ts";
export { add, neg, scale, sub } from "./graph/operations/linear_combination.ts";
export { dense, matmul } from "./graph/operations/matmul.ts";
export { mean } from "./graph/operations/mean.ts";
export { div, mul } from "./graph/operations/multiply.ts";
export { avgPool, maxPool, type PoolOptions } from "./graph/operations/pool.ts";
export { broadcastTo, sum } from "./graph/operations/reduce.ts";
export { squaredNorm } from "./graph/operations/squared_norm.ts";
export { type DataValues, type Pixels, pixels } from "./graph/pixels.ts";
export { type Shape, ShapeError } from "./graph/shape.ts";
export type { Tensor } from "./graph/tensor.ts";
export { filled, perLane, scalar, type Values, values, zeros } from "./graph/values.ts";
export { parseArguments } from "./host/arguments.ts";
export { UsageError } from "./host/errors.ts";
export {
  assertWritable,
  exists,
  isSpecial,
  listFolder,
  readFile,
  setAside,
  writeFile,
} from "./host/files.ts";
export type { Signal } from "./host/interrupt.ts";
export { finish, note, onInterrupt, print, progress } from "./host/terminal.ts";
export { type ConvLayer, type ConvNetOptions, convNet, splitLayers } from "./nn/conv_net.ts";
export { fanInUniform, heNormal, type Initial, lecunNormal } from "./nn/initial.ts";
export { linear, type Model, mlp } from "./nn/models.ts";
export { type HoagOptions, type HoagStep, hoag, type InnerSolve } from "./outer/hoag.ts";
export type { StepChange } from "./outer/step_length.ts";
export type { Tolerance } from "./outer/tolerance.ts";
export { Random } from "./random.ts";
export {
  decodeCheckpoint,
  encodeCheckpoint,
  type RunSettings,
  readCheckpoint,
  type SavedCheckpoint,
  writeCheckpoint,
} from "./report/checkpoint.ts";
export { type Axis, type Curve, type Figure, figure, type Panel } from "./report/figure.ts";
export { MetricsLog } from "./report/metrics_log.ts";
export { sheet, type Tile } from "./report/sheet.ts";
export { table } from "./report/table.ts";
