import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { declareStored, type Output } from "../epilogue.ts";
import { dualInput, type Operand } from "../operand.ts";
import { range } from "../range.ts";
import { SharedReads } from "./shared_reads.ts";
import { blockGrid, blockMain, type ConvTile } from "./tile.ts";
import { addProduct, blockWidth, type Conv, halvesOf, loadInside, startSums, storeBlock } from "./window.ts";

const blocksOf = ({ o }: Conv, { channels }: ConvTile) => o / channels;
const positionsOf = ({ n, oh, ow }: Conv, { cols }: ConvTile) => n * oh * Math.ceil(ow / cols);

export function forwardGrid(conv: Conv, tile: ConvTile): [number, number] {
  return blockGrid(blocksOf(conv, tile), positionsOf(conv, tile), tile);
}

/**
 * y[n,o,i,j] = bias[o] + Σ_{c,u,v} x[n, c, i·stride + u - padding, j·stride + v - padding] weight[o,c,u,v]; a thread makes
 * `cols` neighbours of `channels` channels, so that every x it reads serves all of them.
 */
export function tiledForward(
  conv: Conv,
  tile: ConvTile,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  y: Output,
): string {
  const { c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  const { cols, channels, subgroup } = tile;
  const blocks = Math.ceil(ow / cols);
  const block = { cols, channels, plane: oh * ow, row: ow };
  const halves = halvesOf(x, weight, y);
  const weights = new SharedReads(
    {
      name: "ws",
      side: 1,
      operand: weight,
      count: channels * kw,
      place: (e) => `${e} / ${kw}u * ${c * kh * kw}u + ${e} % ${kw}u`,
    },
    halves,
    subgroup,
  );
  const lastLeft = (blocks - 1) * cols * stride - padding;
  const pixels = range((cols - 1) * stride + kw).map((t) =>
    loadInside(halves, 0, `x${t}`, {
      buffer: "xs",
      operand: x,
      index: `u32(row + ${t})`,
      conditions: [
        ...(padding > 0 ? ["inside"] : []),
        ...(t < padding ? [`left >= ${-t}`] : []),
        ...(lastLeft + t >= w ? [`left < ${w - t}`] : []),
      ],
    }),
  );
  const biased = (name: string, part: "" | "d_") => {
    const view = part === "" ? bias?.primal : bias?.tangent;
    return view ? `${part}bias${name.split("_")[0]}` : "0.0";
  };
  const biases =
    bias &&
    new SharedReads(
      { name: "biases", side: 1, operand: bias, count: channels, place: (e) => e },
      { ...halves, primal: [false, bias.primal !== undefined], tangent: [false, bias.tangent !== undefined] },
      subgroup,
    );
  const sums = range(channels).flatMap((a) => range(cols).map((q) => `${a}_${q}`));
  return wgsl`${subgroup === undefined ? "" : "enable subgroups;"}
${dualInput(0, "xs", x)}
${dualInput(1, "ws", weight)}
${bias ? dualInput(2, "biases", bias) : ""}
${declareStored(3, "ys", y, blockWidth(block, y))}
${blockMain(blocksOf(conv, tile), positionsOf(conv, tile), tile)}
  let channel = block * ${channels}u;
  let first = position % ${blocks}u * ${cols}u;
  let line = position / ${blocks}u % ${oh}u;
  let image = position / ${blocks * oh}u;
  let top = i32(line) * ${stride} - ${padding};
  let left = i32(first) * ${stride} - ${padding};
  ${weights.start()}
  ${biases ? [biases.start(), biases.reads("channel"), ...range(channels).map((a) => biases.element(a, `bias${a}`))].join("\n  ") : ""}
  ${startSums(halves, sums, biased)}
  for (var source = 0u; source < ${c}u; source++) {
    for (var u = 0u; u < ${kh}u; u++) {
      let line_in = top + i32(u);
      let inside = (line_in >= 0) & (line_in < ${h});
      let row = i32((image * ${c}u + source) * ${h * w}u) + line_in * ${w} + left;
      ${weights.reads(`(channel * ${c}u + source) * ${kh * kw}u + u * ${kw}u`)}
      ${pixels.join("\n      ")}
${range(kw)
  .map((v) =>
    range(channels)
      .map((a) => {
        const products = range(cols).map((q) => addProduct(halves, `${a}_${q}`, `x${q * stride + v}`, "k"));
        return `      { ${weights.element(a * kw + v, "k")} ${products.join(" ")} }`;
      })
      .join("\n"),
  )
  .join("\n")}
    }
  }
  if (!there) { return; }
  let out = ((image * ${o}u + channel) * ${oh}u + line) * ${ow}u + first;
  ${storeBlock("ys", y, block)}
}`;
}
