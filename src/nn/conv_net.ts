import { assertKnown } from "../gpu/known.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { batchNorm } from "../graph/operations/batch_norm.ts";
import { conv2d } from "../graph/operations/conv2d.ts";
import { flatten, reshape } from "../graph/operations/copy.ts";
import { relu } from "../graph/operations/elementwise.ts";
import { maxPool, type PoolOptions } from "../graph/operations/pool.ts";
import { windowsAlong } from "../graph/operations/windows.ts";
import { formatShape, ShapeError } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { filled, type Values, zeros } from "../graph/values.ts";
import { Random } from "../random.ts";
import { heNormal, type Initial } from "./initial.ts";
import { denseLayers, type Model } from "./models.ts";

/**
 * A convolution, then normalization where there is such, the activation, and the pool. A max-pool comes before the
 * activation: one that never falls, like relu, gives the same before and after it, and after it there is less to do.
 */
export interface ConvLayer {
  readonly channels: number;
  /** Side of its kernel; default 3. */
  readonly kernel?: number;
  /** Default 1. */
  readonly stride?: number;
  /** Zeros around its images; default ⌊kernel / 2⌋, which keeps their size at stride 1. */
  readonly padding?: number;
  /** Side of the windows of its pool; none when absent. */
  readonly pool?: number;
}

export interface ConvNetOptions {
  /** Channels, rows and columns of an input. */
  readonly image: readonly [channels: number, rows: number, columns: number];
  readonly layers: readonly ConvLayer[];
  /** Outputs of the dense layers before the last, each with the activation; default none. */
  readonly hidden?: readonly number[];
  /** Outputs of the dense layer at the end. */
  readonly classes: number;
  /** Default relu. */
  readonly activation?: (x: Tensor) => Tensor;
  /** Default `maxPool`. */
  readonly pooling?: (x: Tensor, options: PoolOptions) => Tensor;
  /** Batch normalization after each convolution, with a factor and a shift for each channel instead of a bias. */
  readonly norm?: boolean;
  /** Of the weights; default `heNormal`. */
  readonly initial?: Initial;
  readonly seed?: number;
}

const LAYER = { channels: true, kernel: true, stride: true, padding: true, pool: true };
const NET = {
  ...{ image: true, layers: true, hidden: true, classes: true, activation: true },
  ...{ pooling: true, norm: true, initial: true, seed: true },
};

/**
 * Convolutional layers, then dense ones. Layer l, counted from 1 and the dense ones last, has `weight{l}` as `initial`
 * draws it, and `bias{l}` from zero, or with `norm` a convolution has `scale{l}` from one and `shift{l}` from zero. Inputs are
 * [n × c·h·w] or [n×c×h×w].
 * @throws ShapeError where a layer leaves nothing of an image; ProblemError for an option that there is not
 */
export function convNet(options: ConvNetOptions): Model<string> {
  assertKnown("convNet", options, NET);
  for (const layer of options.layers) assertKnown("a layer of convNet", layer, LAYER);
  const { image, layers, hidden = [], classes, norm = false, seed = 0 } = options;
  const { activation = relu, pooling = maxPool, initial = heNormal } = options;
  const [depth, rows, columns] = image;
  const random = new Random(seed);
  const parameters: Record<string, Values> = {};
  let features: readonly [number, number, number] = [depth, rows, columns];
  const convolutions = layers.map(
    ({ channels, kernel = 3, stride = 1, padding = kernel >> 1, pool = 1 }, k) => {
      const along = (length: number) =>
        windowsAlong(windowsAlong(length, kernel, { stride, padding }), pool, { stride: pool, padding: 0 });
      parameters[`weight${k + 1}`] = initial([channels, features[0], kernel, kernel], random);
      if (norm) {
        parameters[`scale${k + 1}`] = filled([channels], 1);
        parameters[`shift${k + 1}`] = zeros([channels]);
      } else parameters[`bias${k + 1}`] = zeros([channels]);
      const result = [channels, along(features[1]), along(features[2])] as const;
      if (result[1] < 1 || result[2] < 1) {
        throw new ShapeError(
          `layer ${k + 1} of convNet leaves nothing of ${formatShape(features)}: take smaller kernels, strides or pools`,
        );
      }
      features = result;
      return { layer: k + 1, stride, padding, pool };
    },
  );
  const first = layers.length + 1;
  const widths = [features[0] * features[1] * features[2], ...hidden, classes];
  const head = denseLayers(widths, { activation, initial, random, first });
  Object.assign(parameters, head.parameters);
  const pooled = (x: Tensor, pool: number) => {
    if (pool === 1) return activation(x);
    return pooling === maxPool
      ? activation(maxPool(x, { size: pool }))
      : pooling(activation(x), { size: pool });
  };
  return {
    parameters,
    apply(w, x) {
      const images = reshape(x, [-1, depth, rows, columns]);
      const maps = convolutions.reduce((maps, { layer, pool, ...windows }) => {
        const out = conv2d(maps, w[`weight${layer}`]!, { ...windows, bias: w[`bias${layer}`] });
        const [scale, shift] = [w[`scale${layer}`], w[`shift${layer}`]];
        return pooled(norm ? batchNorm(out, { scale, shift }) : out, pool);
      }, images);
      return head.apply(w, flatten(maps));
    },
  };
}

/**
 * What belongs to these layers, counted from 1, and the rest: so that some layers are hyperparameters and the others
 * are trained. Both together, `{ ...chosen, ...others }`, are what `apply` takes.
 * @throws ProblemError for a layer that there is not
 */
export function splitLayers<T>(
  parameters: Readonly<Record<string, T>>,
  layers: readonly number[],
): { chosen: Record<string, T>; others: Record<string, T> } {
  const layerOf = (name: string) => Number(/\d+$/.exec(name)?.[0]);
  const isChosen = (name: string) => layers.includes(layerOf(name));
  const known = new Set(Object.keys(parameters).map(layerOf));
  const stray = layers.find((layer) => !known.has(layer));
  if (stray !== undefined) {
    const numbered = [...known].filter(Number.isInteger).join(", ") || "none";
    throw new ProblemError(`there is no layer ${stray} to split off; there are ${numbered}`);
  }
  const part = (wanted: boolean) =>
    Object.fromEntries(Object.entries(parameters).filter(([name]) => isChosen(name) === wanted));
  return { chosen: part(true), others: part(false) };
}
