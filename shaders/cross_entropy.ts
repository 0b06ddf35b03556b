import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import {
  at,
  dualInput,
  dualOutput,
  input,
  linearMain,
  type Operand,
  output,
  primal,
  tangent,
} from "./operand.ts";

/** `rows` examples of `classes` logits each. */
export interface Logits {
  readonly rows: number;
  readonly classes: number;
}

/** WGSL for a value, or for NaN where the label is none; it is made of the label, as WGSL has no constant for it. */
const known = (classes: number, value: string) =>
  `select(bitcast<f32>(label | 0x7fc00000u), ${value}, label < ${classes}u)`;

/** Per example: log(sum of exp z) - z[label], shifted by the largest logit; tangent <softmax z, dz> - dz[label]. */
export function crossEntropy({ rows, classes }: Logits, z: Operand, label: Operand, y: Operand): string {
  return wgsl`
${dualInput(0, "zs", z)}
${input(2, "labels", label.primal, "i32")}
${dualOutput(2, "ys", y)}
${linearMain(rows)}
  let row = i * ${classes}u;
  let label = u32(labels[${at(label.primal, "i")}]);
  let hit = row + min(label, ${classes - 1}u);
  ${softmaxSums(classes, z, Boolean(y.tangent))}
#if ${y.primal}
  ys[${at(y.primal, "i")}] = ${known(classes, `log(total) + largest - ${primal("zs", z, "hit")}`)};
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, "i")}] = ${known(classes, `d_total / total - ${tangent("zs", z, "hit")}`)};
#endif
}`;
}

/**
 * The cotangent of the logits: out = u (softmax z - onehot), with u per example; its tangent is
 * du (p - onehot) + u p (dz - <p, dz>).
 */
export function crossEntropyBackward(
  { rows, classes }: Logits,
  z: Operand,
  label: Operand,
  u: Operand,
  uIndex: string,
  out: Operand,
): string {
  return wgsl`
${dualInput(0, "zs", z)}
${input(2, "labels", label.primal, "i32")}
${dualInput(2, "us", u)}
${dualOutput(3, "outs", out)}
${linearMain(rows)}
  let row = i * ${classes}u;
  let label = u32(labels[${at(label.primal, "i")}]);
  ${softmaxSums(classes, z, Boolean(out.tangent && z.tangent))}
#if ${out.primal || z.tangent}
  let u = ${primal("us", u, uIndex)};
#endif
  for (var c = 0u; c < ${classes}u; c++) {
    let j = row + c;
    let p = exp(${primal("zs", z, "j")} - largest) / total;
    let miss = ${known(classes, "p - select(0.0, 1.0, c == label)")};
#if ${out.primal}
    outs[${at(out.primal, "j")}] = u * miss;
#endif
#if ${out.tangent}
    var d = ${tangent("us", u, uIndex)} * miss;
  #if ${z.tangent}
    d += u * p * (${tangent("zs", z, "j")} - d_total / total);
  #endif
    d_outs[${at(out.tangent, "j")}] = d;
#endif
  }
}`;
}

/** Is the largest logit that of the label (the first one, where several are equal)? 1 or 0. */
export function correct({ rows, classes }: Logits, z: Operand, label: Operand, y: Operand): string {
  return wgsl`
${input(0, "zs", z.primal)}
${input(2, "labels", label.primal, "i32")}
${output(4, "ys", y.primal)}
${linearMain(rows)}
  let row = i * ${classes}u;
  var best = 0u;
  for (var c = 1u; c < ${classes}u; c++) {
    if (${primal("zs", z, "row + c")} > ${primal("zs", z, "row + best")}) { best = c; }
  }
  let label = u32(labels[${at(label.primal, "i")}]);
  ys[${at(y.primal, "i")}] = ${known(classes, "select(0.0, 1.0, best == label)")};
}`;
}

function softmaxSums(classes: number, z: Operand, withTangent: boolean): string {
  return wgsl`
  var largest = ${primal("zs", z, "row")};
  for (var c = 1u; c < ${classes}u; c++) { largest = max(largest, ${primal("zs", z, "row + c")}); }
  var total = 0.0;
  var d_total = 0.0;
  for (var c = 0u; c < ${classes}u; c++) {
    let e = exp(${primal("zs", z, "row + c")} - largest);
    total += e;
#if ${withTangent}
    d_total += e * ${tangent("zs", z, "row + c")};
#endif
  }`;
}
