import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { dualInput, dualOutput, type Operand } from "../operand.ts";
import { range } from "../range.ts";
import { fit, placed } from "../width.ts";
import { SharedReads } from "./shared_reads.ts";
import { blockGrid, blockMain } from "./tile.ts";
import { addProduct, type Conv, halvesOf, loadInside, startSums, store } from "./window.ts";

export interface WeightTile {
  /** Neighbouring columns of y in one turn of the loop. */
  readonly cols: number;
  /** Output channels of a thread; a thread has one input channel. */
  readonly channels: number;
  /** Parts that the lines of y are divided into; their sums are to be added up afterwards. */
  readonly parts: number;
  /** Threads of a subgroup, which are of neighbouring input channels and share what they read of y. */
  readonly subgroup?: number;
}

/** Threads of one output channel block and part, or all in a row where nothing is shared. */
function shape(
  { c, o }: Conv,
  { channels, parts, subgroup }: WeightTile,
): { blocks: number; positions: number } {
  const blocks = o / channels;
  return subgroup === undefined
    ? { blocks: 1, positions: c * blocks * parts }
    : { blocks: blocks * parts, positions: c };
}

export function weightGradientGrid(conv: Conv, tile: WeightTile): [number, number] {
  const { blocks, positions } = shape(conv, tile);
  return blockGrid(blocks, positions, tile);
}

/**
 * The adjoint of a convolution in its weights: weight[o,c,u,v] = Σ_{n,i,j} x[n, c, i·stride + u - padding,
 * j·stride + v - padding] y[n,o,i,j], in parts: sums [parts×o×c×kh×kw], each over some of the lines of y.
 */
export function tiledWeightGradient(
  conv: Conv,
  tile: WeightTile,
  x: Operand,
  y: Operand,
  sums: Operand,
): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  const { cols, channels, parts, subgroup } = tile;
  const { blocks, positions } = shape(conv, tile);
  const halves = halvesOf(x, y, sums);
  const reach = (cols - 1) * stride + kw;
  const turns = Math.ceil(ow / cols);
  const lines = Math.ceil((n * oh) / parts);
  const names = range(channels).flatMap((a) =>
    range(kh).flatMap((u) => range(kw).map((v) => `${a}_${u}_${v}`)),
  );
  const cotangents = new SharedReads(
    {
      name: "ys",
      side: 1,
      operand: y,
      count: channels * cols,
      place: (e) => `${e} / ${cols}u * ${oh * ow}u + ${e} % ${cols}u`,
      width: fit([cols, ow, ...placed(y.primal, y.tangent)]),
    },
    halves,
    subgroup,
  );
  const lastLeft = (turns - 1) * cols * stride - padding;
  const pixel = (u: number, t: number) =>
    loadInside(halves, 0, `x${t}`, {
      buffer: "xs",
      operand: x,
      index: `u32(row + ${u * w + t})`,
      conditions: [
        ...(padding > 0 ? [`top >= ${-u}`, `top < ${h - u}`] : []),
        ...(t < padding ? [`left >= ${-t}`] : []),
        ...(lastLeft + t >= w ? [`left < ${w - t}`] : []),
      ],
    });
  const ragged = (q: number) => (ow % cols > 0 && q > 0 ? `first + ${q}u < ${ow}u` : undefined);
  const [block, channel, part] =
    subgroup === undefined
      ? [`position / ${c}u % ${o / channels}u`, `position % ${c}u`, `position / ${(c * o) / channels}u`]
      : [`block % ${o / channels}u`, "position", `block / ${o / channels}u`];
  return wgsl`${subgroup === undefined ? "" : "enable subgroups;"}
${dualInput(0, "xs", x)}
${dualInput(1, "ys", y, cotangents.type)}
${dualOutput(2, "sums", sums)}
${blockMain(blocks, positions, tile)}
  let target_channel = ${block} * ${channels}u;
  let source = ${channel};
  let part = ${part};
  ${cotangents.start()}
  ${startSums(halves, names)}
  for (var l = part * ${lines}u; l < min((part + 1u) * ${lines}u, ${n * oh}u); l++) {
    let image = l / ${oh}u;
    let line = l % ${oh}u;
    let top = i32(line) * ${stride} - ${padding};
    for (var first = 0u; first < ${ow}u; first += ${cols}u) {
      let left = i32(first) * ${stride} - ${padding};
      let row = i32((image * ${c}u + source) * ${h * w}u) + top * ${w} + left;
      ${cotangents.reads(`((image * ${o}u + target_channel) * ${oh}u + line) * ${ow}u + first`)}
      ${range(channels)
        .flatMap((a) => range(cols).map((q) => cotangents.element(a * cols + q, `y${a}_${q}`, ragged(q))))
        .join("\n      ")}
${range(kh)
  .map(
    (u) => `      {
        ${range(reach)
          .map((t) => pixel(u, t))
          .join("\n        ")}
        ${range(channels)
          .map((a) =>
            range(kw)
              .flatMap((v) =>
                range(cols).map((q) =>
                  addProduct(halves, `${a}_${u}_${v}`, `x${q * stride + v}`, `y${a}_${q}`),
                ),
              )
              .join(" "),
          )
          .join("\n        ")}
      }`,
  )
  .join("\n")}
    }
  }
  if (!there) { return; }
  let out = ((part * ${o}u + target_channel) * ${c}u + source) * ${kh * kw}u;
  ${names
    .map((name) => {
      const [a, u, v] = name.split("_").map(Number) as [number, number, number];
      return store("sums", sums, `out + ${a * c * kh * kw + u * kw + v}u`, name);
    })
    .join(" ")}
}`;
}
