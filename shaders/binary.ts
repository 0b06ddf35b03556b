import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, float, linearMain, type Operand, primal, tangent } from "./operand.ts";

/** An operand and the position in it, as WGSL, that belongs to element `i` of the output. */
export interface Broadcast extends Operand {
  readonly index: string;
}

/** y = a b; dy = da b + a db. */
export function multiply(count: number, a: Broadcast, b: Broadcast, y: Operand): string {
  return wgsl`
${dualInput(0, "lefts", a)}
${dualInput(1, "rights", b)}
${dualOutput(2, "ys", y)}
${linearMain(count)}
#if ${y.primal}
  ys[${at(y.primal, "i")}] = ${primal("lefts", a, a.index)} * ${primal("rights", b, b.index)};
#endif
#if ${y.tangent}
  var d = 0.0;
  #if ${a.tangent}
  d += ${tangent("lefts", a, a.index)} * ${primal("rights", b, b.index)};
  #endif
  #if ${b.tangent}
  d += ${primal("lefts", a, a.index)} * ${tangent("rights", b, b.index)};
  #endif
  d_ys[${at(y.tangent, "i")}] = d;
#endif
}`;
}

/** y = a / b; dy = (da - y db) / b. */
export function divide(count: number, a: Broadcast, b: Broadcast, y: Operand): string {
  return wgsl`
${dualInput(0, "lefts", a)}
${dualInput(1, "rights", b)}
${dualOutput(2, "ys", y)}
${linearMain(count)}
  let b = ${primal("rights", b, b.index)};
#if ${y.primal || b.tangent}
  let y = ${primal("lefts", a, a.index)} / b;
#endif
#if ${y.primal}
  ys[${at(y.primal, "i")}] = y;
#endif
#if ${y.tangent}
  var d = ${tangent("lefts", a, a.index)};
  #if ${b.tangent}
  d -= y * ${tangent("rights", b, b.index)};
  #endif
  d_ys[${at(y.tangent, "i")}] = d / b;
#endif
}`;
}

/** One term of a linear combination. */
export interface Term extends Broadcast {
  readonly coefficient: number;
}

/** y = offset + sum of coefficient x over the terms; dy is the same sum over the active terms. */
export function linearCombination(count: number, terms: readonly Term[], offset: number, y: Operand): string {
  const scaled = (coefficient: number, value: string) =>
    coefficient === 1 ? value : `${float(coefficient)} * ${value}`;
  const primals = terms.map((term, k) => scaled(term.coefficient, primal(`x${k}`, term, term.index)));
  const tangents = terms.flatMap((term, k) =>
    term.tangent ? [scaled(term.coefficient, tangent(`x${k}`, term, term.index))] : [],
  );
  return wgsl`
${terms.map((term, k) => dualInput(k, `x${k}`, term)).join("\n")}
${dualOutput(terms.length, "ys", y)}
${linearMain(count)}
#if ${y.primal}
  ys[${at(y.primal, "i")}] = ${[...(offset === 0 ? [] : [float(offset)]), ...primals].join(" + ")};
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, "i")}] = ${tangents.join(" + ")};
#endif
}`;
}
