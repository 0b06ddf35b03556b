import { apply } from "../apply.ts";
import type { SumRule, Tensor } from "../tensor.ts";
import { scale, total } from "./linear_combination.ts";
import { mul } from "./multiply.ts";
import { reductionKernel, reductionParts } from "./reduce.ts";

/** Sum of the squares of all elements of one tensor or of several. */
export function squaredNorm(x: Tensor | Readonly<Record<string, Tensor>>): Tensor {
  const tensors = "shape" in x && "source" in x ? [x as Tensor] : Object.values(x);
  const whole = coveredBase(tensors);
  return total((whole ? [whole] : tensors).map((tensor) => apply(ruleOf(tensor.size), [tensor], [])));
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

function ruleOf(count: number): SumRule {
  const reduction = { outer: 1, reduced: count, inner: 1, square: true };
  return {
    name: "squared norm",
    reads: () => [true],
    parts: (_, where) => reductionParts(reduction, where),
    sums: (call) => reductionKernel(reduction, call),
    vjp: ([x], _output, cotangent) => [mul(scale(2, cotangent), x!)],
  };
}
