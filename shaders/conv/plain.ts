import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, linearMain, type Operand, primal, tangent } from "../operand.ts";
import { addProduct, type Conv, halvesOf, load } from "./window.ts";

/**
 * The three products of a convolution, an output a thread, without tiles: for small problems, as a tile takes a software
 * adapter's compiler seconds. Formulas as in the files of the tiles.
 */
interface Kernel {
  readonly count: number;
  readonly names: readonly [left: string, right: string, out: string];
  readonly operands: readonly [left: Operand, right: Operand, out: Operand];
  readonly bias?: Operand | undefined;
  /** WGSL that sets up from the output's index `i`, opens loops and leaves the factors' positions in `l_at` and `r_at`. */
  readonly open: string;
  readonly loops: number;
}

function kernel({ count, names, operands, bias, open, loops }: Kernel): string {
  const [left, right, out] = operands;
  const halves = halvesOf(left, right, out);
  const read = (side: 0 | 1) => (part: string) => {
    const view = part === "" ? operands[side].primal : operands[side].tangent;
    return `${part}${names[side]}[${at(view, `${side === 0 ? "l" : "r"}_at`)}]`;
  };
  return wgsl`
${dualInput(0, names[0], left)}
${dualInput(1, names[1], right)}
${bias ? dualInput(2, "biases", bias) : ""}
${dualOutput(names[2] === "ys" ? 3 : 2, names[2], out)}
${linearMain(count)}
  var s0 = 0.0;
  var t0 = 0.0;
  ${open}
    ${load(halves, 0, "l", read(0))} ${load(halves, 1, "r", read(1))}
    ${addProduct(halves, "0", "l", "r")}
  ${"}".repeat(loops)}
  ${bias && halves.value ? `s0 += ${primal("biases", bias, "channel")};` : ""}
  ${bias && halves.derivative ? `t0 += ${tangent("biases", bias, "channel")};` : ""}
  ${halves.value ? `${names[2]}[${at(out.primal, "i")}] = s0;` : ""}
  ${halves.derivative ? `d_${names[2]}[${at(out.tangent, "i")}] = t0;` : ""}
}`;
}

export function plainForward(
  conv: Conv,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  y: Operand,
): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return kernel({
    count: n * o * oh * ow,
    names: ["xs", "ws", "ys"],
    operands: [x, weight, y],
    bias,
    loops: 3,
    open: `let top = i32(i / ${ow}u % ${oh}u * ${stride}u) - ${padding};
  let left = i32(i % ${ow}u * ${stride}u) - ${padding};
  let channel = i / ${oh * ow}u % ${o}u;
  let image = i / ${o * oh * ow}u;
  for (var source = 0u; source < ${c}u; source++) {
  for (var row = max(top, 0); row < min(top + ${kh}, ${h}); row++) {
  for (var column = max(left, 0); column < min(left + ${kw}, ${w}); column++) {
    let l_at = ((image * ${c}u + source) * ${h}u + u32(row)) * ${w}u + u32(column);
    let r_at = ((channel * ${c}u + source) * ${kh}u + u32(row - top)) * ${kw}u + u32(column - left);`,
  });
}

export function plainInputGradient(conv: Conv, y: Operand, weight: Operand, x: Operand): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return kernel({
    count: n * c * h * w,
    names: ["ys", "ws", "xs"],
    operands: [y, weight, x],
    loops: 3,
    open: `let bottom = i32(i / ${w}u % ${h}u) + ${padding};
  let right = i32(i % ${w}u) + ${padding};
  let channel = i / ${h * w}u % ${c}u;
  let image = i / ${c * h * w}u;
  for (var source = 0u; source < ${o}u; source++) {
  // Line r of y meets the row by tap bottom - r stride, which lies in [0, kh).
  for (var r = max(bottom - ${kh} + ${stride}, 0) / ${stride}; r < ${oh} && r * ${stride} <= bottom; r++) {
  for (var q = max(right - ${kw} + ${stride}, 0) / ${stride}; q < ${ow} && q * ${stride} <= right; q++) {
    let l_at = ((image * ${o}u + source) * ${oh}u + u32(r)) * ${ow}u + u32(q);
    let r_at = ((source * ${c}u + channel) * ${kh}u + u32(bottom - r * ${stride})) * ${kw}u + u32(right - q * ${stride});`,
  });
}

export function plainWeightGradient(conv: Conv, x: Operand, y: Operand, weight: Operand): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return kernel({
    count: o * c * kh * kw,
    names: ["xs", "ys", "ws"],
    operands: [x, y, weight],
    loops: 3,
    open: `let down = i32(i / ${kw}u % ${kh}u) - ${padding};
  let along = i32(i % ${kw}u) - ${padding};
  let source = i / ${kh * kw}u % ${c}u;
  let channel = i / ${c * kh * kw}u;
  for (var image = 0u; image < ${n}u; image++) {
  for (var r = 0; r < ${oh}; r++) {
  for (var q = 0; q < ${ow}; q++) {
    let row = r * ${stride} + down;
    let column = q * ${stride} + along;
    if (row < 0 || row >= ${h} || column < 0 || column >= ${w}) { continue; }
    let l_at = ((image * ${c}u + source) * ${h}u + u32(row)) * ${w}u + u32(column);
    let r_at = ((image * ${o}u + channel) * ${oh}u + u32(r)) * ${ow}u + u32(q);`,
  });
}
