import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, float, linearMain, type Operand, primal, tangent } from "./operand.ts";

/**
 * y[i] = x[source], where `source` is WGSL computed from `i`; zero where the WGSL condition `inside` is false.
 * Slices, transposes, padding and broadcasting are all of this form.
 */
export function stridedCopy(count: number, source: string, inside: string, x: Operand, y: Operand): string {
  return wgsl`
${dualInput(0, "xs", x)}
${dualOutput(1, "ys", y)}
${linearMain(count)}
  if (${inside}) {
    let j = ${source};
#if ${y.primal}
    ys[${at(y.primal, "i")}] = ${primal("xs", x, "j")};
#endif
#if ${y.tangent}
    d_ys[${at(y.tangent, "i")}] = ${tangent("xs", x, "j")};
#endif
  } else {
#if ${y.primal}
    ys[${at(y.primal, "i")}] = 0.0;
#endif
#if ${y.tangent}
    d_ys[${at(y.tangent, "i")}] = 0.0;
#endif
  }
}`;
}

/** y = value, a number or WGSL of `i` and `lane`; tangent zero. */
export function fill(value: number | string, count: number, y: Operand): string {
  return wgsl`
${dualOutput(0, "ys", y)}
${linearMain(count)}
#if ${y.primal}
  ys[${at(y.primal, "i")}] = ${typeof value === "string" ? value : float(value)};
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, "i")}] = 0.0;
#endif
}`;
}
