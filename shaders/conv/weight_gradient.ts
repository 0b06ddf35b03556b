import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { at, dualInput, dualOutput, type Operand } from "../operand.ts";
import { addProduct, type Conv, type ConvTile, halvesOf, load, range } from "./window.ts";

/** Words of shared memory for the sums of all threads: what WebGPU promises. */
const SHARED = 4096;

/** Threads that share the lines of y between them: as many as have room for their sums. */
const widthOf = (sums: number) => [32, 16, 8, 4, 2].find((width) => sums * width <= SHARED) ?? 1;

/** A workgroup for each input channel and block of output channels. */
export function weightGradientGrid({ c, o }: Conv, { channels }: ConvTile): [number, number] {
  return [c, o / channels];
}

/**
 * The adjoint of a convolution in its weights: weight[o,c,u,v] = Σ_{n,i,j} x[n, c, i·stride + u - padding,
 * j·stride + v - padding] y[n,o,i,j]. Every thread sums over its lines of y; then the threads' sums are added in order.
 */
export function convWeightGradient(
  conv: Conv,
  tile: ConvTile,
  x: Operand,
  y: Operand,
  weight: Operand,
): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  const { cols, channels } = tile;
  const halves = halvesOf(x, y, weight);
  const reach = (cols - 1) * stride + kw;
  const sums = channels * kh * kw;
  const width = widthOf(sums);
  const names = range(channels).flatMap((a) =>
    range(kh).flatMap((u) => range(kw).map((v) => `${a}_${u}_${v}`)),
  );
  const pixel = (t: number) => (part: string) => {
    const view = part === "" ? x.primal : x.tangent;
    const column = `left + ${t}`;
    const value = `${part}xs[${at(view, `row + u32(clamp(${column}, 0, ${w - 1}))`)}]`;
    return `select(0.0, ${value}, there && ${column} >= 0 && ${column} < ${w})`;
  };
  const cotangent = (a: number, q: number) => (part: string) => {
    const index = `out + ${a * oh * ow}u`;
    const view = part === "" ? y.primal : y.tangent;
    if (ow % cols === 0) return `${part}ys[${at(view, `${index} + ${q}u`)}]`;
    return `select(0.0, ${part}ys[${at(view, `${index} + min(${q}u, ${ow - 1}u - first)`)}], first + ${q}u < ${ow}u)`;
  };
  const start = (sum: "s" | "t") => names.map((name) => `var ${sum}${name} = 0.0;`).join(" ");
  const finish = (sum: "s" | "t", target: string, operand: Operand["primal"]) => `
  ${names.map((name, k) => `partial[${k}u * ${width}u + local] = ${sum}${name};`).join(" ")}
  workgroupBarrier();
  for (var k = local; k < ${sums}u; k += ${width}u) {
    var total = 0.0;
    for (var thread = 0u; thread < ${width}u; thread++) { total += partial[k * ${width}u + thread]; }
    let tap = ((channel + k / ${kh * kw}u) * ${c}u + source) * ${kh * kw}u + k % ${kh * kw}u;
    ${target}[${at(operand, "tap")}] = total;
  }
  workgroupBarrier();`;
  return wgsl`
${dualInput(0, "xs", x)}
${dualInput(1, "ys", y)}
${dualOutput(2, "ws", weight)}
var<workgroup> partial: array<f32, ${sums * width}>;
@compute @workgroup_size(${width})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  let source = group.x;
  let channel = group.y * ${channels}u;
  ${halves.value ? start("s") : ""}
  ${halves.derivative ? start("t") : ""}
  for (var r = local; r < ${n * oh}u; r += ${width}u) {
    let image = r / ${oh}u;
    let line = r % ${oh}u;
    for (var first = 0u; first < ${ow}u; first += ${cols}u) {
      let left = i32(first) * ${stride} - ${padding};
      let out = ((image * ${o}u + channel) * ${oh}u + line) * ${ow}u + first;
      ${range(channels)
        .flatMap((a) => range(cols).map((q) => load(halves, 1, `y${a}_${q}`, cotangent(a, q))))
        .join("\n      ")}
${range(kh)
  .map(
    (u) => `      {
        let y = i32(line * ${stride}u + ${u}u) - ${padding};
        let there = y >= 0 && y < ${h};
        let row = ((image * ${c}u + source) * ${h}u + u32(clamp(y, 0, ${h - 1}))) * ${w}u;
        ${range(reach)
          .map((t) => load(halves, 0, `x${t}`, pixel(t)))
          .join("\n        ")}
${range(channels)
  .flatMap((a) =>
    range(kw).map(
      (v) =>
        `        ${range(cols)
          .map((q) => addProduct(halves, `${a}_${u}_${v}`, `x${q * stride + v}`, `y${a}_${q}`))
          .join(" ")}`,
    ),
  )
  .join("\n")}
      }`,
  )
  .join("\n")}
    }
  }
  ${halves.value ? finish("s", "ws", weight.primal) : ""}
  ${halves.derivative ? finish("t", "d_ws", weight.tangent) : ""}
}`;
}
