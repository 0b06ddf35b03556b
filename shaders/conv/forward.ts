import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, linearMain, type Operand, primal, tangent } from "../operand.ts";
import { addProduct, type Conv, type ConvTile, halvesOf, load, range } from "./window.ts";

export function forwardThreads({ n, o, oh, ow }: Conv, { cols, channels }: ConvTile): number {
  return (o / channels) * n * oh * Math.ceil(ow / cols);
}

/**
 * y[n,o,i,j] = bias[o] + Σ_{c,u,v} x[n, c, i·stride + u - padding, j·stride + v - padding] weight[o,c,u,v]; a thread makes
 * `cols` neighbours of `channels` channels, so that every x it reads serves all of them.
 */
export function convForward(
  conv: Conv,
  tile: ConvTile,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  y: Operand,
): string {
  const { c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  const { cols, channels } = tile;
  const blocks = Math.ceil(ow / cols);
  const halves = halvesOf(x, weight, y);
  const reach = (cols - 1) * stride + kw;
  const bounded = padding > 0 || ow % cols > 0;
  const each = (text: (a: number, q: number) => string) =>
    range(channels)
      .flatMap((a) => range(cols).map((q) => text(a, q)))
      .join(" ");
  const pixel = (t: number) => (part: string) => {
    const view = part === "" ? x.primal : x.tangent;
    if (!bounded) return `${part}xs[${at(view, `row + u32(left + ${t})`)}]`;
    const inside = `left + ${t} >= 0 && left + ${t} < ${w}`;
    return `select(0.0, ${part}xs[${at(view, `row + u32(clamp(left + ${t}, 0, ${w - 1}))`)}], ${inside})`;
  };
  const factor = (a: number, v: number) => (part: string) =>
    `${part}ws[${at(part === "" ? weight.primal : weight.tangent, `tap + ${a * c * kh * kw + v}u`)}]`;
  return wgsl`
${dualInput(0, "xs", x)}
${dualInput(1, "ws", weight)}
${bias ? dualInput(2, "biases", bias) : ""}
${dualOutput(3, "ys", y)}
${linearMain(forwardThreads(conv, tile))}
  let first = i % ${blocks}u * ${cols}u;
  let line = i / ${blocks}u % ${oh}u;
  let image = i / ${blocks * oh}u % ${conv.n}u;
  let channel = i / ${blocks * oh * conv.n}u * ${channels}u;
  let left = i32(first) * ${stride} - ${padding};
${range(channels)
  .map((a) => {
    const start = (part: "s" | "t") => {
      const value =
        bias === undefined ? "0.0" : (part === "s" ? primal : tangent)("biases", bias, `channel + ${a}u`);
      return range(cols)
        .map((q) => `var ${part}${a}_${q} = ${value};`)
        .join(" ");
    };
    return `  ${halves.value ? start("s") : ""} ${halves.derivative ? start("t") : ""}`;
  })
  .join("\n")}
  for (var source = 0u; source < ${c}u; source++) {
    for (var u = 0u; u < ${kh}u; u++) {
      let y = i32(line * ${stride}u + u) - ${padding};
      if (y < 0 || y >= ${h}) { continue; }
      let row = ((image * ${c}u + source) * ${h}u + u32(y)) * ${w}u;
      let tap = ((channel * ${c}u + source) * ${kh}u + u) * ${kw}u;
      ${range(reach)
        .map((t) => load(halves, 0, `x${t}`, pixel(t)))
        .join("\n      ")}
${range(kw)
  .map((v) =>
    range(channels)
      .map((a) => {
        const products = range(cols).map((q) => addProduct(halves, `${a}_${q}`, `x${q * stride + v}`, "k"));
        return `      { ${load(halves, 1, "k", factor(a, v))} ${products.join(" ")} }`;
      })
      .join("\n"),
  )
  .join("\n")}
    }
  }
  let out = ((image * ${o}u + channel) * ${oh}u + line) * ${ow}u + first;
  ${each((a, q) => {
    const index = `out + ${a * oh * ow + q}u`;
    const stores = [
      halves.value ? `ys[${at(y.primal, index)}] = s${a}_${q};` : "",
      halves.derivative ? `d_ys[${at(y.tangent, index)}] = t${a}_${q};` : "",
    ].join(" ");
    return ow % cols > 0 && q > 0 ? `if (first + ${q}u < ${ow}u) { ${stores} }` : stores;
  })}
}`;
}
