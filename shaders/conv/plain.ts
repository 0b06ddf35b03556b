import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { declareStored, type Output } from "../epilogue.ts";
import { at, dualInput, linearMain, type Operand, primal, tangent } from "../operand.ts";
import { range } from "../range.ts";
import { addProduct, type Conv, halvesOf, load, loadInside, store } from "./window.ts";

/**
 * The three products of a convolution, an output a thread, without tiles: for small problems, as a tile takes a software
 * adapter's compiler seconds. Formulas as in the files of the tiles. All threads run the same loops, and take a zero
 * where the window hangs over: loops of different lengths cost SwiftShader five times as much.
 */
interface Kernel {
  readonly count: number;
  readonly names: readonly [left: string, right: string, out: string];
  readonly operands: readonly [left: Operand, right: Operand, out: Output];
  readonly bias?: Operand | undefined;
  /** WGSL that sets up from the output's index `i`. */
  readonly start: string;
  /** Loops over the terms: names (i32), of which none may be `l` or `r`, and how often. */
  readonly loops: Readonly<Record<string, number>>;
  /** WGSL in the innermost loop, and with it where the factors stand (u32) and when the left one is there. */
  readonly locate: string;
  readonly left: string;
  readonly right: string;
  readonly inside: readonly string[];
}

function kernel(spec: Kernel): string {
  const { count, names, operands, bias, start, loops, locate, inside } = spec;
  const [left, right, out] = operands;
  const halves = halvesOf(left, right, out);
  const within = loadInside(halves, 0, "l", {
    buffer: names[0],
    operand: left,
    index: spec.left,
    conditions: inside,
  });
  const other = load(
    halves,
    1,
    "r",
    (part) => `${part}${names[1]}[${at(part === "" ? right.primal : right.tangent, spec.right)}]`,
  );
  return wgsl`
${dualInput(0, names[0], left)}
${dualInput(1, names[1], right)}
${bias ? dualInput(2, "biases", bias) : ""}
${declareStored(names[2] === "ys" ? 3 : 2, names[2], out, 1)}
${linearMain(count)}
  var s0 = 0.0;
  var t0 = 0.0;
  ${start}
  ${nest(
    Object.entries(loops),
    `${locate}
    ${within} ${other}
    ${addProduct(halves, "0", "l", "r")}`,
  )}
  ${bias && halves.value ? `s0 += ${primal("biases", bias, "channel")};` : ""}
  ${bias && halves.derivative ? `t0 += ${tangent("biases", bias, "channel")};` : ""}
  ${store(names[2], out, "i", "0")}
}`;
}

/** Iterations that are written out: a turn of a loop costs SwiftShader as much as several multiply-adds. */
const UNROLLED = 9;

/** WGSL of loops one in another; the innermost are written out while they are short. */
function nest([first, ...rest]: readonly (readonly [name: string, times: number])[], body: string): string {
  if (first === undefined) return body;
  const [name, times] = first;
  const all = rest.reduce((product, [, count]) => product * count, times);
  if (all > UNROLLED) return `for (var ${name} = 0; ${name} < ${times}; ${name}++) { ${nest(rest, body)} }`;
  return range(times)
    .map((k) => `{ const ${name} = ${k}; ${nest(rest, body)} }`)
    .join("\n");
}

/** WGSL for whether `name` lies in [0, extent). */
const within = (name: string, extent: number) => [`${name} >= 0`, `${name} < ${extent}`];

export function plainForward(
  conv: Conv,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  y: Output,
): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return kernel({
    count: n * o * oh * ow,
    names: ["xs", "ws", "ys"],
    operands: [x, weight, y],
    bias,
    start: `let top = i32(i / ${ow}u % ${oh}u * ${stride}u) - ${padding};
  let left = i32(i % ${ow}u * ${stride}u) - ${padding};
  let channel = i / ${oh * ow}u % ${o}u;
  let image = i / ${o * oh * ow}u;`,
    loops: { source: c, u: kh, v: kw },
    locate: "let row = top + u; let column = left + v;",
    left: `((image * ${c}u + u32(source)) * ${h}u + u32(row)) * ${w}u + u32(column)`,
    right: `((channel * ${c}u + u32(source)) * ${kh}u + u32(u)) * ${kw}u + u32(v)`,
    inside: [...within("row", h), ...within("column", w)],
  });
}

export function plainInputGradient(conv: Conv, y: Operand, weight: Operand, x: Output): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return kernel({
    count: n * c * h * w,
    names: ["ys", "ws", "xs"],
    operands: [y, weight, x],
    start: `let bottom = i32(i / ${w}u % ${h}u) + ${padding};
  let right = i32(i % ${w}u) + ${padding};
  let channel = i / ${h * w}u % ${c}u;
  let image = i / ${c * h * w}u;`,
    // Of the taps that meet a pixel one is at its distance from a whole stride, the others are whole strides on.
    loops: { source: o, down: Math.ceil(kh / stride), along: Math.ceil(kw / stride) },
    locate: `let u = bottom % ${stride} + down * ${stride}; let v = right % ${stride} + along * ${stride};
    let row = bottom / ${stride} - down; let column = right / ${stride} - along;`,
    left: `((image * ${o}u + u32(source)) * ${oh}u + u32(row)) * ${ow}u + u32(column)`,
    right: `((u32(source) * ${c}u + channel) * ${kh}u + u32(u)) * ${kw}u + u32(v)`,
    inside: [
      ...[...within("row", oh), ...within("column", ow)],
      ...(kh % stride > 0 ? [`u < ${kh}`] : []),
      ...(kw % stride > 0 ? [`v < ${kw}`] : []),
    ],
  });
}

export function plainWeightGradient(conv: Conv, x: Operand, y: Operand, weight: Operand): string {
  const { n, c, h, w, o, kh, kw, stride, padding, oh, ow } = conv;
  return kernel({
    count: o * c * kh * kw,
    names: ["xs", "ys", "ws"],
    operands: [x, y, weight],
    start: `let down = i32(i / ${kw}u % ${kh}u) - ${padding};
  let along = i32(i % ${kw}u) - ${padding};
  let source = i / ${kh * kw}u % ${c}u;
  let channel = i / ${c * kh * kw}u;`,
    loops: { image: n, line: oh, pixel: ow },
    locate: `let row = line * ${stride} + down; let column = pixel * ${stride} + along;`,
    left: `((u32(image) * ${c}u + source) * ${h}u + u32(row)) * ${w}u + u32(column)`,
    right: `((u32(image) * ${o}u + channel) * ${oh}u + u32(line)) * ${ow}u + u32(pixel)`,
    inside: [...within("row", h), ...within("column", w)],
  });
}
