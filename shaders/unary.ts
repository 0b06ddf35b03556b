import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, linearMain, type Operand, primal, tangent } from "./operand.ts";

/** WGSL expressions in `x` for a function and its first two derivatives, and the WGSL functions they call. */
export interface Elementwise {
  readonly f: string;
  readonly df: string;
  readonly ddf: string;
  readonly functions?: string;
}

/** y = f(x); dy = f'(x) dx. */
export function unary({ f, df, functions = "" }: Elementwise, count: number, x: Operand, y: Operand): string {
  return wgsl`
${dualInput(0, "xs", x)}
${dualOutput(1, "ys", y)}
${functions}
${linearMain(count)}
  let x = ${primal("xs", x, "i")};
#if ${y.primal}
  ys[${at(y.primal, "i")}] = ${f};
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, "i")}] = (${df}) * ${tangent("xs", x, "i")};
#endif
}`;
}

/** The cotangent of x in y = f(x): out = u f'(x); d_out = du f'(x) + u f''(x) dx. `uIndex` broadcasts u. */
export function unaryBackward(
  { df, ddf, functions = "" }: Elementwise,
  count: number,
  x: Operand,
  u: Operand,
  uIndex: string,
  out: Operand,
): string {
  return wgsl`
${dualInput(0, "xs", x)}
${dualInput(1, "us", u)}
${dualOutput(2, "outs", out)}
${functions}
${linearMain(count)}
  let x = ${primal("xs", x, "i")};
#if ${out.primal}
  outs[${at(out.primal, "i")}] = ${primal("us", u, uIndex)} * (${df});
#endif
#if ${out.tangent}
  var d = 0.0;
  #if ${u.tangent}
  d += ${tangent("us", u, uIndex)} * (${df});
  #endif
  #if ${x.tangent}
  d += ${primal("us", u, uIndex)} * (${ddf}) * ${tangent("xs", x, "i")};
  #endif
  d_outs[${at(out.tangent, "i")}] = d;
#endif
}`;
}
