import { assertTensors } from "../operands.ts";
import { isTensor, type Tensor } from "../tensor.ts";
import { square } from "./elementwise.ts";
import { total } from "./linear_combination.ts";
import { sum } from "./reduce.ts";

/** Sum of the squares of all elements of one tensor or of several. */
export function squaredNorm(x: Tensor | Readonly<Record<string, Tensor>>): Tensor {
  const several = typeof x === "object" && !isTensor(x);
  const tensors = several ? Object.values(x) : [x];
  assertTensors("squaredNorm", ...tensors);
  const whole = coveredBase(tensors);
  return total((whole ? [whole] : tensors).map((tensor) => sum(square(tensor))));
}

/** The flat tensor that these are all the parts of, if they are: one kernel instead of one a part. */
function coveredBase(tensors: readonly Tensor[]): Tensor | undefined {
  const bases = new Set(tensors.map(({ source }) => (source.kind === "view" ? source.base : undefined)));
  const [base] = bases;
  if (bases.size !== 1 || base === undefined) return undefined;
  const starts = new Map(
    tensors.map((tensor) => [tensor.source.kind === "view" ? tensor.source.offset : 0, tensor.size]),
  );
  let end = 0;
  while (starts.has(end)) end += starts.get(end)!;
  return end === base.size && starts.size === tensors.length ? base : undefined;
}
