import { product, quotient } from "../../../shaders/pointwise.ts";
import { apply } from "../apply.ts";
import { type Like, tensorsOf } from "../operands.ts";
import { broadcast } from "../shape.ts";
import { constantValue, type PointwiseRule, type Tensor } from "../tensor.ts";
import { neg, scale } from "./linear_combination.ts";
import { broadcastTo, sumTo } from "./reduce.ts";

/** a · b elementwise, with broadcasting. */
export function mul(a: Like, b: Like): Tensor {
  const [x, y] = tensorsOf("mul", a, b) as [Tensor, Tensor];
  const shape = broadcast(x.shape, y.shape);
  const [p, q] = [constantValue(x), constantValue(y)];
  if (p !== undefined) return broadcastTo(scale(p, y), shape);
  if (q !== undefined) return broadcastTo(scale(q, x), shape);
  return apply(multiplied, [x, y], shape);
}

/** a / b elementwise, with broadcasting. */
export function div(a: Like, b: Like): Tensor {
  const [x, y] = tensorsOf("div", a, b) as [Tensor, Tensor];
  const shape = broadcast(x.shape, y.shape);
  const divisor = constantValue(y);
  if (divisor !== undefined) return broadcastTo(scale(1 / divisor, x), shape);
  return apply(divided, [x, y], shape);
}

const multiplied: PointwiseRule = {
  name: "multiply",
  literals: true,
  reads: ({ primal, active }) => [primal || active[1]!, primal || active[0]!],
  formula: product,
  vjp: ([a, b], _output, cotangent) => [
    sumTo(mul(cotangent, b!), a!.shape),
    sumTo(mul(cotangent, a!), b!.shape),
  ],
};

const divided: PointwiseRule = {
  name: "divide",
  literals: true,
  reads: ({ primal, active }) => [primal || active[1]!, true],
  formula: quotient,
  vjp: ([a, b], output, cotangent) => {
    const share = div(cotangent, b!);
    return [sumTo(share, a!.shape), sumTo(neg(mul(share, output)), b!.shape)];
  },
};
