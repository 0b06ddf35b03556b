import { assertTensors } from "../operands.ts";
import type { Tensor } from "../tensor.ts";
import { scale } from "./linear_combination.ts";
import { sum } from "./reduce.ts";

/** Mean over one axis, several, or all. @throws ShapeError for an axis that does not exist. */
export function mean(x: Tensor, axes?: number | readonly number[]): Tensor {
  assertTensors("mean", x);
  const summed = sum(x, axes);
  return scale(summed.size / x.size, summed);
}
