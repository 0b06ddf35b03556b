import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, input, linearMain, type Operand, primal, tangent } from "./operand.ts";

/** Rows of a table: `count` rows of `width` are taken out of, or added into, `rows` rows. */
export interface Rows {
  readonly rows: number;
  readonly width: number;
  readonly count: number;
}

/** What stands where there is no such row. */
const NONE = { f32: "bitcast<f32>(row | 0x7fc00000u)", i32: "-1", u32: "0u" };

/** y[r, c] = x[index[r], c], of elements of `type`; NaN, -1 of integers, or 0 of words, where there is no such row. */
export function gather(
  { rows, width, count }: Rows,
  type: keyof typeof NONE,
  x: Operand,
  index: Operand,
  y: Operand,
): string {
  return wgsl`
${dualInput(0, "xs", x, type)}
${input(2, "indices", index.primal, "i32")}
${dualOutput(2, "ys", y, type)}
${linearMain(count * width)}
  let row = u32(indices[${at(index.primal, `i / ${width}u`)}]);
  let j = min(row, ${rows - 1}u) * ${width}u + i % ${width}u;
#if ${y.primal}
  ys[${at(y.primal, "i")}] = select(${NONE[type]}, ${primal("xs", x, "j")}, row < ${rows}u);
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, "i")}] = ${tangent("xs", x, "j")};
#endif
}`;
}

/**
 * The adjoint of gather: y[s, c] = sum over r with index[r] = s of x[r, c]. Each sum runs in the order of r, so
 * that repeated indices give the same bits every time.
 */
export function scatter({ rows, width, count }: Rows, x: Operand, index: Operand, y: Operand): string {
  return wgsl`
${dualInput(0, "xs", x)}
${input(2, "indices", index.primal, "i32")}
${dualOutput(2, "ys", y)}
${linearMain(rows * width)}
  let row = i32(i / ${width}u);
  let column = i % ${width}u;
  var sum = 0.0;
  var d_sum = 0.0;
  for (var r = 0u; r < ${count}u; r++) {
    if (indices[${at(index.primal, "r")}] == row) {
      let j = r * ${width}u + column;
#if ${y.primal}
      sum += ${primal("xs", x, "j")};
#endif
#if ${y.tangent}
      d_sum += ${tangent("xs", x, "j")};
#endif
    }
  }
#if ${y.primal}
  ys[${at(y.primal, "i")}] = sum;
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, "i")}] = d_sum;
#endif
}`;
}
