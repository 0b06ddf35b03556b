import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Chain, declareChain, evaluateChain, type Factor, type Formula } from "./chain.ts";
import { dualOutput, float, linearGrid, linearMain, type Operand, type Strided } from "./operand.ts";
import { fit, placed, storeVector, vector } from "./width.ts";

/** y = a chain, for `count` elements a lane. */
export function pointwise(count: number, chain: Chain, y: Operand): { code: string; grid: Strided } {
  const width = fit([count, ...placed(y.primal, y.tangent)]);
  const { code, results } = evaluateChain(chain, "i", width);
  const values = {
    primal: results.map(({ value }) => value),
    tangent: results.flatMap(({ tangent }) => tangent ?? []),
  };
  return {
    code: wgsl`
${declareChain(chain, width)}
${dualOutput(chain.leaves.length, "ys", y, vector(width))}
${linearMain(count / width)}
  ${code}
  ${storeVector("ys", y, "i", values)}
}`,
    grid: linearGrid(count / width),
  };
}

/** WGSL expressions in `x` for a function and its first two derivatives, and the WGSL functions they call. */
export interface Elementwise {
  readonly f: string;
  readonly df: string;
  readonly ddf: string;
  readonly functions?: string;
  /** The derivatives at f(x) are those at x, as relu's are: they are computed from the result, and x is not kept. */
  readonly ofResult?: boolean;
}

const X = /(?<![.\w])x(?!\w)/g;

/** An expression in `x` at a value that has a name. */
const of = (expression: string, x: Factor) => `(${expression.replace(X, x.value)})`;

/** Does an expression depend on `x`? */
export const dependsOnX = (expression: string): boolean => expression.search(X) >= 0;

/** Is an expression the constant zero? */
export const isZero = (expression: string): boolean => Number(expression) === 0;

/** The sum of the terms that there are. */
const sum = (terms: readonly (string | undefined | false)[]) => terms.filter(Boolean).join(" + ");

/** y = f(x); dy = f'(x) dx. */
export const unary = ({ f, df, functions }: Elementwise): Formula => ({
  value: ([x]) => of(f, x!),
  tangent: ([x]) => `${of(df, x!)} * ${x!.tangent}`,
  flops: 1,
  ...(functions !== undefined && { functions }),
});

/** The cotangent of x in y = f(x): u f'(x); its tangent is du f'(x) + u f''(x) dx. */
export const unaryBackward = ({ df, ddf, functions }: Elementwise): Formula => ({
  value: ([x, u]) => `${u!.value} * ${of(df, x!)}`,
  tangent: ([x, u]) =>
    sum([
      u!.tangent && `${u!.tangent} * ${of(df, x!)}`,
      x!.tangent && !isZero(ddf) && `${u!.value} * ${of(ddf, x!)} * ${x!.tangent}`,
    ]) || "0.0",
  flops: 1,
  ...(functions !== undefined && { functions }),
});

/** y = a b; dy = da b + a db. */
export const product: Formula = {
  value: ([a, b]) => `${a!.value} * ${b!.value}`,
  tangent: ([a, b]) =>
    sum([a!.tangent && `${a!.tangent} * ${b!.value}`, b!.tangent && `${a!.value} * ${b!.tangent}`]),
  flops: 1,
};

/** y = a / b; dy = (da - y db) / b. */
export const quotient: Formula = {
  value: ([a, b]) => `${a!.value} / ${b!.value}`,
  tangent: ([a, b]) =>
    b!.tangent
      ? `(${a!.tangent ?? "0.0"} - ${a!.value} / ${b!.value} * ${b!.tangent}) / ${b!.value}`
      : `${a!.tangent} / ${b!.value}`,
  flops: 1,
};

/** y = offset + sum of coefficient x over the factors; dy is the same sum over the active ones. */
export function linearCombination(coefficients: readonly number[], offset: number): Formula {
  const scaled = (k: number, value: string) =>
    coefficients[k] === 1 ? value : `${float(coefficients[k]!)} * ${value}`;
  return {
    value: (factors) =>
      sum([offset !== 0 && float(offset), ...factors.map(({ value }, k) => scaled(k, value))]),
    tangent: (factors) => sum(factors.map(({ tangent }, k) => tangent && scaled(k, tangent))),
    flops: 2 * coefficients.length - 1,
  };
}

/** y = x. */
export const identity: Formula = { value: ([x]) => x!.value, tangent: ([x]) => x!.tangent!, flops: 0 };
