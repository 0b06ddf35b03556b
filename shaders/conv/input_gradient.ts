import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { declareStored, type Output } from "../epilogue.ts";
import { dualInput, type Operand } from "../operand.ts";
import { range } from "../range.ts";
import { SharedReads } from "./shared_reads.ts";
import { blockGrid, blockMain, type ConvTile } from "./tile.ts";
import { addProduct, blockWidth, type Conv, halvesOf, loadInside, startSums, storeBlock } from "./window.ts";

/** Threads of a workgroup are of lines that lie whole strides apart, so that all of them meet the same taps. */
const blocksOf = ({ c, stride }: Conv, { channels }: ConvTile) => (c / channels) * stride;
const linesOf = ({ h, stride }: Conv) => Math.ceil(h / stride);
const positionsOf = (conv: Conv, { cols }: ConvTile) => conv.n * linesOf(conv) * Math.ceil(conv.w / cols);

export function inputGradientGrid(conv: Conv, tile: ConvTile): [number, number] {
  return blockGrid(blocksOf(conv, tile), positionsOf(conv, tile), tile);
}

/**
 * The adjoint of a convolution in x: x[n,c,a,b] = Σ_{o,u,v} y[n, o, (a + padding - u) / stride, (b + padding - v) / stride]
 * weight[o,c,u,v] over the taps where the quotients are whole. `cols` is a multiple of the stride, so that it is known
 * beforehand which columns meet which taps.
 */
export function tiledInputGradient(
  conv: Conv,
  tile: ConvTile,
  y: Operand,
  weight: Operand,
  x: Output,
): string {
  const { c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  const { cols, channels, subgroup } = tile;
  const blocks = Math.ceil(w / cols);
  const block = { cols, channels, plane: h * w, row: w };
  const lines = linesOf(conv);
  const halves = halvesOf(y, weight, x);
  /** Of column first + q and tap v: the column of y, counted from first / stride, or undefined. */
  const met = (q: number, v: number) => {
    const quotient = (q + padding - v) / stride;
    return Number.isInteger(quotient) ? quotient : undefined;
  };
  const offsets = [...new Set(range(cols).flatMap((q) => range(kw).flatMap((v) => met(q, v) ?? [])))];
  const name = (offset: number) => `y${offset < 0 ? `m${-offset}` : offset}`;
  const weights = new SharedReads(
    {
      name: "ws",
      side: 1,
      operand: weight,
      count: channels * kw,
      place: (e) => `${e} / ${kw}u * ${kh * kw}u + ${e} % ${kw}u`,
    },
    halves,
    subgroup,
  );
  const lastLeft = ((blocks - 1) * cols) / stride;
  const pixels = offsets.map((offset) =>
    loadInside(halves, 0, name(offset), {
      buffer: "ys",
      operand: y,
      index: `u32(row + ${offset})`,
      conditions: [
        "inside",
        ...(offset < 0 ? [`left >= ${-offset}`] : []),
        ...(lastLeft + offset >= ow ? [`left < ${ow - offset}`] : []),
      ],
    }),
  );
  const sums = range(channels).flatMap((a) => range(cols).map((q) => `${a}_${q}`));
  return wgsl`${subgroup === undefined ? "" : "enable subgroups;"}
${dualInput(0, "ys", y)}
${dualInput(1, "ws", weight)}
${declareStored(2, "xs", x, blockWidth(block, x))}
${blockMain(blocksOf(conv, tile), positionsOf(conv, tile), tile)}
  let channel = block / ${stride}u * ${channels}u;
  let residue = block % ${stride}u;
  let first = position % ${blocks}u * ${cols}u;
  let line = position / ${blocks}u % ${lines}u * ${stride}u + residue;
  let image = position / ${blocks * lines}u;
  let left = i32(first / ${stride}u);
  ${weights.start()}
  ${startSums(halves, sums)}
  for (var source = 0u; source < ${o}u; source++) {
    for (var u = (residue + ${padding}u) % ${stride}u; u < ${kh}u; u += ${stride}u) {
      let up = i32(line) + ${padding} - i32(u);
      let line_in = up / ${stride};
      let inside = (up >= 0) & (line_in < ${oh});
      let row = i32((image * ${o}u + source) * ${oh * ow}u) + line_in * ${ow} + left;
      ${weights.reads(`(source * ${c}u + channel) * ${kh * kw}u + u * ${kw}u`)}
      ${pixels.join("\n      ")}
${range(kw)
  .map((v) =>
    range(channels)
      .map((a) => {
        const products = range(cols).flatMap((q) => {
          const offset = met(q, v);
          return offset === undefined ? [] : [addProduct(halves, `${a}_${q}`, name(offset), "k")];
        });
        return `      { ${weights.element(a * kw + v, "k")} ${products.join(" ")} }`;
      })
      .join("\n"),
  )
  .join("\n")}
    }
  }
  if (!there${h % stride > 0 ? ` || line >= ${h}u` : ""}) { return; }
  let out = ((image * ${c}u + channel) * ${h}u + line) * ${w}u + first;
  ${storeBlock("xs", x, block)}
}`;
}
