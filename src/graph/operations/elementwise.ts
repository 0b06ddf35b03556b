import { hyperbolic, logarithmic, sigmoidal, trigonometric } from "../../../shaders/functions.ts";
import { dependsOnX, type Elementwise, isZero, unary, unaryBackward } from "../../../shaders/pointwise.ts";
import { kindOf } from "../../gpu/kind.ts";
import { ProblemError } from "../../gpu/problem_error.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import type { PointwiseRule, Tensor } from "../tensor.ts";

/**
 * An elementwise operation from three WGSL expressions in `x`: the function and its first and second derivative.
 * A wrong derivative shows in `checkGradient`-style tests; a malformed expression is a ValidationError at build.
 * @throws ProblemError where one is missing
 */
export function elementwise(name: string, expressions: Elementwise): (x: Tensor) => Tensor {
  assertStated(name, expressions);
  const { f, df, ddf, ofResult = false } = expressions;
  const forward: PointwiseRule = {
    name,
    reads: ({ primal, tangent }) => [(primal && dependsOnX(f)) || (tangent && dependsOnX(df))],
    formula: unary(expressions),
    vjp: ([x], output, cotangent) => [apply(backward, [ofResult ? output : x!, cotangent], x!.shape)],
  };
  const backward: PointwiseRule = {
    name: `${name} backward`,
    literals: true,
    reads: ({ primal, active: [byX, byU] }) => [
      ((primal || byU!) && dependsOnX(df)) || (byX! && dependsOnX(ddf)),
      primal || (byX! && !isZero(ddf)),
    ],
    formula: unaryBackward(expressions),
  };
  return (x) => {
    assertTensors(name, x);
    return apply(forward, [x], x.shape);
  };
}

function assertStated(name: unknown, expressions: unknown): void {
  if (typeof name !== "string" || name === "")
    throw new ProblemError(`the name of an elementwise operation is ${kindOf(name)}: give a text`);
  const given = { ...(expressions as Partial<Elementwise> | undefined) };
  for (const [part, meaning] of Object.entries({
    f: "the function",
    df: "its first derivative",
    ddf: "its second derivative",
  })) {
    const expression = given[part as keyof Elementwise];
    if (typeof expression === "string" && expression.trim() !== "") continue;
    throw new ProblemError(
      `${part} of elementwise("${name}", { f, df, ddf }), ${meaning}, is ${kindOf(expression)}: give a WGSL expression in x`,
    );
  }
}

export const exp = elementwise("exp", { f: "exp(x)", df: "exp(x)", ddf: "exp(x)" });
export const log = elementwise("log", { f: "log(x)", df: "1.0 / x", ddf: "-1.0 / (x * x)" });
export const sqrt = elementwise("sqrt", { f: "sqrt(x)", df: "0.5 / sqrt(x)", ddf: "-0.25 / (x * sqrt(x))" });
export const sin = elementwise("sin", {
  f: "sine(x)",
  df: "cosine(x)",
  ddf: "-sine(x)",
  functions: trigonometric,
});
export const tanh = elementwise("tanh", {
  f: "hyperbolic_tangent(x)",
  df: "hyperbolic_slope(x)",
  ddf: "-2.0 * hyperbolic_tangent(x) * hyperbolic_slope(x)",
  functions: hyperbolic,
});
export const sigmoid = elementwise("sigmoid", {
  f: "logistic(x)",
  df: "logistic_slope(x)",
  ddf: "-logistic_slope(x) * hyperbolic_tangent(0.5 * x)",
  functions: sigmoidal + hyperbolic,
});
export const softplus = elementwise("softplus", {
  f: "max(x, 0.0) + log_one_plus(exp(-abs(x)))",
  df: "logistic(x)",
  ddf: "logistic_slope(x)",
  functions: logarithmic + sigmoidal,
});
/** max(x, 0); its derivative at 0 is taken as 0. */
export const relu = elementwise("relu", {
  f: "max(x, 0.0)",
  df: "select(0.0, 1.0, x > 0.0)",
  ddf: "0.0",
  ofResult: true,
});
export const square = elementwise("square", { f: "x * x", df: "2.0 * x", ddf: "2.0" });
