import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { LogitRow } from "./logit_row.ts";
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
import type { RowOperation, RowPlace } from "./rows.ts";
import { vector } from "./width.ts";

/** `rows` examples of `classes` logits each. */
export interface Logits {
  readonly rows: number;
  readonly classes: number;
}

/** WGSL for a value, or for NaN where the label is none; it is made of the label, as WGSL has no constant for it. */
const known = (classes: number, value: string) =>
  `select(bitcast<f32>(label | 0x7fc00000u), ${value}, label < ${classes}u)`;

/** Per example: log(sum of exp z) - z[label], shifted by the largest logit; tangent <softmax z, dz> - dz[label]. */
export function crossEntropy(
  classes: number,
  z: Operand,
  label: Operand,
  y: Operand,
  place: RowPlace,
): RowOperation {
  const row = new LogitRow(classes, z, place);
  const [labels, ys] = [`${place.prefix}labels`, `${place.prefix}ys`];
  return {
    declarations: `
${row.declare()}
${input(2 * place.slot + 2, labels, label.primal, "i32")}
${dualOutput(place.slot + 2, ys, y)}`,
    body: wgsl`
  let label = u32(${labels}[${at(label.primal, "i")}]);
  ${row.read()}
  ${softmaxSums(row, Boolean(y.tangent))}
#if ${y.primal}
  ${ys}[${at(y.primal, "i")}] = ${known(classes, `log(total) + largest - ${row.chosen("logit")}`)};
#endif
#if ${y.tangent}
  d_${ys}[${at(y.tangent, "i")}] = ${known(classes, `d_total / total - ${row.chosen("tangent")}`)};
#endif`,
  };
}

/**
 * The cotangent of the logits: out = u (softmax z - onehot), with u per example; its tangent is
 * du (p - onehot) + u p (dz - <p, dz>).
 */
export function crossEntropyBackward(
  classes: number,
  z: Operand,
  label: Operand,
  u: Operand,
  uIndex: string,
  out: Operand,
  place: RowPlace,
): RowOperation {
  const row = new LogitRow(classes, z, place);
  const isMoved = z.tangent !== undefined || place.held.tangent;
  const [labels, us, outs] = [`${place.prefix}labels`, `${place.prefix}us`, `${place.prefix}outs`];
  return {
    declarations: `
${row.declare()}
${input(2 * place.slot + 2, labels, label.primal, "i32")}
${dualInput(place.slot + 2, us, u)}
${dualOutput(place.slot + 3, outs, out, vector(row.width(out)))}`,
    body: wgsl`
  let label = u32(${labels}[${at(label.primal, "i")}]);
  ${row.read()}
  ${softmaxSums(row, out.tangent !== undefined && isMoved)}
#if ${out.primal || isMoved}
  let u = ${primal(us, u, uIndex)};
#endif
  ${out.tangent && u.tangent ? `let du = ${tangent(us, u, uIndex)};` : ""}
  ${row.write(outs, out, ({ number, logit, tangent }, name) => {
    const moved = [
      ...(u.tangent ? [`du * miss${name}`] : []),
      ...(isMoved ? [`u * p${name} * (${tangent} - d_total / total)`] : []),
    ];
    return {
      code: `let p${name} = exp(${logit} - largest) / total;
  let miss${name} = ${known(classes, `p${name} - select(0.0, 1.0, ${number} == label)`)};`,
      primal: `u * miss${name}`,
      tangent: moved.join(" + ") || "0.0",
    };
  })}`,
  };
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

function softmaxSums(row: LogitRow, withTangent: boolean): string {
  return wgsl`
  var largest = ${row.first};
  ${row.each(({ logit }) => `largest = max(largest, ${logit});`)}
  var total = 0.0;
  var d_total = 0.0;
  ${row.each(
    ({ logit, tangent }) => `{
    let e = exp(${logit} - largest);
    total += e;
    ${withTangent ? `d_total += e * ${tangent};` : ""}
  }`,
  )}`;
}
