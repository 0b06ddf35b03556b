import { linearCombination } from "../../../shaders/pointwise.ts";
import { kindOf } from "../../gpu/kind.ts";
import { ProblemError } from "../../gpu/problem_error.ts";
import { apply } from "../apply.ts";
import { type Like, tensorsOf } from "../operands.ts";
import { broadcast, sameShape } from "../shape.ts";
import {
  assertFloat32,
  constant,
  constantValue,
  type PointwiseRule,
  type Rule,
  type Tensor,
} from "../tensor.ts";
import { sumTo } from "./reduce.ts";

/** coefficient · tensor, as it enters a linear combination. */
interface Scaled {
  readonly coefficient: number;
  readonly tensor: Tensor;
}

interface LinearCombination extends PointwiseRule {
  readonly coefficients: readonly number[];
  readonly offset: number;
}

function isLinearCombination(rule: Rule): rule is LinearCombination {
  return rule.name === "combine";
}

/** a + b, with broadcasting. */
export function add(a: Like, b: Like): Tensor {
  const [x, y] = tensorsOf("add", a, b);
  return combine([
    [1, x!],
    [1, y!],
  ]);
}

/** a - b, with broadcasting. */
export function sub(a: Like, b: Like): Tensor {
  const [x, y] = tensorsOf("sub", a, b);
  return combine([
    [1, x!],
    [-1, y!],
  ]);
}

/** -x. */
export function neg(x: Like): Tensor {
  return combine([[-1, tensorsOf("neg", x)[0]!]]);
}

/** factor · x for a number known when the graph is built. @throws ProblemError where the factor is none */
export function scale(factor: number, x: Like): Tensor {
  if (typeof factor !== "number") {
    throw new ProblemError(
      `the factor of scale is ${kindOf(factor)}: the number comes first, scale(0.5, x); two tensors are multiplied by mul(a, b)`,
    );
  }
  return combine([[factor, tensorsOf("scale", x)[0]!]]);
}

/** Most tensors one kernel combines: each takes two bindings when dual, the output two, of eight guaranteed. */
const MOST_TERMS = 3;

/** Sum of coefficient · tensor. Multiples of tensors are taken in, so that a scaled sum is one kernel. */
function combine(list: readonly (readonly [number, Tensor])[]): Tensor {
  let offset = 0;
  let shape: readonly number[] = [];
  const terms: Scaled[] = [];
  for (const [coefficient, tensor] of list) {
    shape = broadcast(shape, tensor.shape);
    const value = constantValue(tensor);
    const multiple = multipleOf(tensor);
    if (value !== undefined) offset += coefficient * value;
    else if (multiple !== undefined) {
      terms.push({ coefficient: coefficient * multiple.coefficient, tensor: multiple.tensor });
    } else terms.push({ coefficient, tensor });
  }
  if (terms.length === 0) return constant(offset, shape);
  const [only] = terms;
  if (terms.length === 1 && only!.coefficient === 1 && offset === 0 && sameShape(only!.tensor.shape, shape)) {
    return only!.tensor;
  }
  for (const number of [offset, ...terms.map((term) => term.coefficient)]) assertFloat32(number);
  return apply(
    rule(
      terms.map((term) => term.coefficient),
      offset,
    ),
    terms.map((term) => term.tensor),
    shape,
  );
}

/** What a tensor is a multiple of, if it is a plain multiple in its own shape. */
function multipleOf({ shape, source }: Tensor): Scaled | undefined {
  if (source.kind !== "rule" || !isLinearCombination(source.rule)) return undefined;
  const { coefficients, offset } = source.rule;
  const [tensor] = source.inputs;
  if (coefficients.length !== 1 || offset !== 0 || !sameShape(tensor!.shape, shape)) return undefined;
  return { coefficient: coefficients[0]!, tensor: tensor! };
}

/** The sum of tensors of one shape. */
export function total(tensors: readonly Tensor[]): Tensor {
  let result: Tensor | undefined;
  for (let start = 0; start < tensors.length; start += MOST_TERMS - 1) {
    const group = tensors.slice(start, start + MOST_TERMS - 1);
    result = combine([...(result ? [result] : []), ...group].map((tensor) => [1, tensor] as const));
  }
  return result ?? constant(0);
}

function rule(coefficients: readonly number[], offset: number): LinearCombination {
  return {
    name: "combine",
    coefficients,
    offset,
    reads: ({ primal }) => coefficients.map(() => primal),
    formula: linearCombination(coefficients, offset),
    vjp: (inputs, _output, cotangent) =>
      inputs.map((input, k) => sumTo(scale(coefficients[k]!, cotangent), input.shape)),
  };
}
