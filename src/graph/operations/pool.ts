import { type Pool, poolGather, poolIndex, poolScatter } from "../../../shaders/pool.ts";
import { assertKnown } from "../../gpu/known.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { formatShape, ShapeError } from "../shape.ts";
import { byElement, type Rule, type Tensor } from "../tensor.ts";
import { scale } from "./linear_combination.ts";
import { isWhole, windowsAlong } from "./windows.ts";

export interface PoolOptions {
  /** Side of a window. */
  readonly size: number;
  /** From one window to the next; default the size, so that windows do not overlap. */
  readonly stride?: number;
  /** Rows and columns around x, less than the size; default 0. */
  readonly padding?: number;
}

/**
 * The largest element of each window of images [n×c×h×w]; result [n×c×oh×ow]. Of equal elements the first in row-major
 * order is taken, by the value, its derivatives and theirs. @throws ShapeError
 */
export function maxPool(x: Tensor, options: PoolOptions): Tensor {
  const { pool, shape } = poolOf("maxPool", x, options);
  const index = apply(indexRule(pool), [x], shape, "i32");
  return gather(pool, x.shape, shape, x, index);
}

/** The mean of each window, in which padding counts as zeros; result [n×c×oh×ow]. @throws ShapeError */
export function avgPool(x: Tensor, options: PoolOptions): Tensor {
  const { pool, shape } = poolOf("avgPool", x, options);
  return scale(1 / options.size ** 2, gather(pool, x.shape, shape, x));
}

function poolOf(name: string, x: Tensor, options: PoolOptions): { pool: Pool; shape: number[] } {
  assertKnown(name, options, { size: true, stride: true, padding: true });
  const { size, stride = size, padding = 0 } = options;
  assertTensors(name, x);
  const [n, c, h, w] = x.shape;
  if (x.shape.length !== 4)
    throw new ShapeError(`${name} takes images [n×c×h×w], not ${formatShape(x.shape)}`);
  if (!isWhole(size, 1) || !isWhole(stride, 1) || !isWhole(padding, 0) || padding >= size)
    throw new ShapeError(
      `${name}: size ${size}, stride ${stride} and padding ${padding} must be whole, at least 1, 1 and 0, and the padding less than the size`,
    );
  const [oh, ow] = [windowsAlong(h!, size, { stride, padding }), windowsAlong(w!, size, { stride, padding })];
  if (oh < 1 || ow < 1)
    throw new ShapeError(`${name}: a window of ${size} does not fit into ${formatShape([h!, w!])}`);
  return {
    pool: { planes: n! * c!, h: h!, w: w!, size, stride, padding, oh, ow },
    shape: [n!, c!, oh, ow],
  };
}

function indexRule(pool: Pool): Rule {
  return {
    name: "max-pool index",
    stepwise: true,
    reads: ({ primal }) => [primal],
    kernel: ({ inputs: [x], out }) => ({
      ...poolIndex(pool, x!, out),
      flops: pool.planes * pool.oh * pool.ow * pool.size ** 2,
    }),
  };
}

/** x at the index of each window, or the sum of each window: linear in x. */
function gather(
  pool: Pool,
  from: readonly number[],
  to: readonly number[],
  x: Tensor,
  index?: Tensor,
): Tensor {
  const rule: Rule = {
    name: index ? "max-pool" : "window sum",
    integers: 1,
    reads: ({ primal }) => [primal, true],
    goesOn: byElement,
    kernel: ({ inputs: [x, index], out }) => ({
      ...poolGather(pool, x!, index, out),
      flops: index ? 0 : pool.planes * pool.oh * pool.ow * pool.size ** 2,
    }),
    vjp: ([, index], _output, cotangent) => [scatter(pool, from, to, cotangent, index), undefined],
  };
  return apply(rule, index ? [x, index] : [x], to);
}

/** The adjoint of `gather`. */
function scatter(
  pool: Pool,
  from: readonly number[],
  to: readonly number[],
  y: Tensor,
  index?: Tensor,
): Tensor {
  const rule: Rule = {
    name: index ? "max-pool to x" : "window sum to x",
    integers: 1,
    reads: ({ primal }) => [primal, true],
    goesOn: byElement,
    kernel: ({ inputs: [y, index], out }) => ({
      ...poolScatter(pool, y!, index, out),
      flops: pool.planes * pool.oh * pool.ow * pool.size ** 2,
    }),
    vjp: ([, index], _output, cotangent) => [gather(pool, from, to, cotangent, index), undefined],
  };
  return apply(rule, index ? [y, index] : [y], from);
}
