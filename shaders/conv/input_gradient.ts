import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, linearMain, type Operand } from "../operand.ts";
import { addProduct, type Conv, type ConvTile, halvesOf, load, range } from "./window.ts";

export function inputGradientThreads({ n, c, h, w }: Conv, { cols, channels }: ConvTile): number {
  return (c / channels) * n * h * Math.ceil(w / cols);
}

/**
 * The adjoint of a convolution in x: x[n,c,a,b] = Σ_{o,u,v} y[n, o, (a + padding - u) / stride, (b + padding - v) / stride]
 * weight[o,c,u,v] over the taps where the quotients are whole. `cols` is a multiple of the stride, so that it is known
 * beforehand which columns meet which taps.
 */
export function convInputGradient(
  conv: Conv,
  tile: ConvTile,
  y: Operand,
  weight: Operand,
  x: Operand,
): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  const { cols, channels } = tile;
  const blocks = Math.ceil(w / cols);
  const halves = halvesOf(y, weight, x);
  /** Of column first + q and tap v: the column of y, counted from first / stride, or undefined. */
  const met = (q: number, v: number) => {
    const quotient = (q + padding - v) / stride;
    return Number.isInteger(quotient) ? quotient : undefined;
  };
  const offsets = [...new Set(range(cols).flatMap((q) => range(kw).flatMap((v) => met(q, v) ?? [])))];
  const name = (offset: number) => `y${offset < 0 ? `m${-offset}` : offset}`;
  const pixel = (offset: number) => (part: string) => {
    const view = part === "" ? y.primal : y.tangent;
    const column = `left + ${offset}`;
    const value = `${part}ys[${at(view, `row + u32(clamp(${column}, 0, ${ow - 1}))`)}]`;
    return `select(0.0, ${value}, ${column} >= 0 && ${column} < ${ow})`;
  };
  const factor = (a: number, v: number) => (part: string) =>
    `${part}ws[${at(part === "" ? weight.primal : weight.tangent, `tap + ${a * kh * kw + v}u`)}]`;
  const start = (sum: "s" | "t") =>
    range(channels)
      .flatMap((a) => range(cols).map((q) => `var ${sum}${a}_${q} = 0.0;`))
      .join(" ");
  return wgsl`
${dualInput(0, "ys", y)}
${dualInput(1, "ws", weight)}
${dualOutput(2, "xs", x)}
${linearMain(inputGradientThreads(conv, tile))}
  let first = i % ${blocks}u * ${cols}u;
  let line = i / ${blocks}u % ${h}u;
  let image = i / ${blocks * h}u % ${n}u;
  let channel = i / ${blocks * h * n}u * ${channels}u;
  let left = i32(first / ${stride}u);
  ${halves.value ? start("s") : ""}
  ${halves.derivative ? start("t") : ""}
  for (var source = 0u; source < ${o}u; source++) {
    for (var u = 0u; u < ${kh}u; u++) {
      let up = i32(line) + ${padding} - i32(u);
      if (up < 0 || up % ${stride} != 0 || up / ${stride} >= ${oh}) { continue; }
      let row = ((image * ${o}u + source) * ${oh}u + u32(up / ${stride})) * ${ow}u;
      let tap = ((source * ${c}u + channel) * ${kh}u + u) * ${kw}u;
      ${offsets.map((offset) => load(halves, 0, name(offset), pixel(offset))).join("\n      ")}
${range(kw)
  .map((v) =>
    range(channels)
      .map((a) => {
        const products = range(cols).flatMap((q) => {
          const offset = met(q, v);
          return offset === undefined ? [] : [addProduct(halves, `${a}_${q}`, name(offset), "k")];
        });
        return `      { ${load(halves, 1, "k", factor(a, v))} ${products.join(" ")} }`;
      })
      .join("\n"),
  )
  .join("\n")}
    }
  }
  let out = ((image * ${c}u + channel) * ${h}u + line) * ${w}u + first;
  ${range(channels)
    .flatMap((a) =>
      range(cols).map((q) => {
        const index = `out + ${a * h * w + q}u`;
        const stores = [
          halves.value ? `xs[${at(x.primal, index)}] = s${a}_${q};` : "",
          halves.derivative ? `d_xs[${at(x.tangent, index)}] = t${a}_${q};` : "",
        ].join(" ");
        return w % cols > 0 && q > 0 ? `if (first + ${q}u < ${w}u) { ${stores} }` : stores;
      }),
    )
    .join(" ")}
}`;
}
