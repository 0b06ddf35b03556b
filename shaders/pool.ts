import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { declareStored, type Output, storedWidth, storeOutput } from "./epilogue.ts";
import {
  at,
  dualInput,
  input,
  linearGrid,
  linearMain,
  type Operand,
  output,
  primal,
  tangent,
} from "./operand.ts";
import { isTiled, isWhole, isWrittenOut, tiledIndex, tiledScatter, tiledSum } from "./pool/tiled.ts";
import type { Kernel, Pool } from "./pool/windows.ts";
import { range } from "./range.ts";
import { component, inVectors, placed, vector } from "./width.ts";

export type { Pool } from "./pool/windows.ts";

/** What is stored of a single element: variables of these names. */
const HALVES = { primal: ["primal"], tangent: ["tangent"] };

/** WGSL head over the elements of y: the window's top left corner, which may lie outside, and the start of the plane. */
function overWindows({ planes, h, w, stride, padding, oh, ow }: Pool): string {
  return `${linearMain(planes * oh * ow)}
  let top = i32(i / ${ow}u % ${oh}u * ${stride}u) - ${padding};
  let left = i32(i % ${ow}u * ${stride}u) - ${padding};
  let plane = i / ${oh * ow}u * ${h * w}u;`;
}

const overY = ({ planes, oh, ow }: Pool) => linearGrid(planes * oh * ow);

/** WGSL that runs `body` for each element of the window inside x, as `j` within its plane, row by row. */
function eachElement({ h, w, size }: Pool, body: string): string {
  return `
  for (var row = max(top, 0); row < min(top + ${size}, ${h}); row++) {
    for (var column = max(left, 0); column < min(left + ${size}, ${w}); column++) {
      let j = u32(row * ${w} + column);
      ${body}
    }
  }`;
}

/** index = where in its plane the largest element of each window is; of several, the first in row-major order. */
export function poolIndex(pool: Pool, x: Operand, index: Operand): Kernel {
  if (isWrittenOut(pool)) return tiledIndex(pool, x, index);
  const code = wgsl`
${input(0, "xs", x.primal)}
${output(2, "indices", index.primal, "i32")}
${overWindows(pool)}
  var best = u32(max(top, 0) * ${pool.w} + max(left, 0));
  var largest = xs[${at(x.primal, "plane + best")}];
  ${eachElement(
    pool,
    `let value = xs[${at(x.primal, "plane + j")}];
      let more = value > largest;
      best = select(best, j, more);
      largest = select(largest, value, more);`,
  )}
  indices[${at(index.primal, "i")}] = i32(best);
}`;
  return { code, grid: overY(pool) };
}

/** y = x at the index of each window, or without an index the sum of the window. */
export function poolGather(pool: Pool, x: Operand, index: Operand | undefined, y: Output): Kernel {
  if (index !== undefined) return gatherAt(pool, x, index, y);
  if (isWrittenOut(pool)) return tiledSum(pool, x, y);
  const sums = (text: (part: "primal" | "tangent") => string) =>
    `${y.primal ? text("primal") : ""} ${y.tangent ? text("tangent") : ""}`;
  const value = (part: "primal" | "tangent") => (part === "primal" ? primal : tangent)("xs", x, "plane + j");
  const code = wgsl`
${dualInput(0, "xs", x)}
${declareStored(1, "ys", y, 1)}
${overWindows(pool)}
  ${sums((part) => `var ${part} = 0.0;`)}
  ${eachElement(
    pool,
    sums((part) => `${part} += ${value(part)};`),
  )}
  ${storeOutput("ys", y, "i", HALVES)}
}`;
  return { code, grid: overY(pool) };
}

/** y = x at the index of each window. */
function gatherAt(pool: Pool, x: Operand, index: Operand, y: Output): Kernel {
  const { planes, h, w, oh, ow } = pool;
  const count = storedWidth(y, [ow, ...placed(index.primal)]);
  const places = range(count).map((q) => `plane + u32(${component("chosen", count, q)})`);
  const values = {
    primal: places.map((place) => `xs[${at(x.primal, place)}]`),
    tangent: places.map((place) => `d_xs[${at(x.tangent, place)}]`),
  };
  const grid = linearGrid((planes * oh * ow) / count);
  return {
    code: wgsl`
${dualInput(0, "xs", x)}
${input(2, "indices", index.primal, vector(count, "i32"))}
${declareStored(2, "ys", y, count)}
${linearMain(grid.elements)}
  let plane = i / ${(oh * ow) / count}u * ${h * w}u;
  let chosen = indices[${at(index.primal && inVectors(index.primal, count), "i")}];
  ${storeOutput("ys", y, "i", values)}
}`,
    grid,
  };
}

/** The adjoint: x = the sum of y over the windows that hold the element, with an index over those that chose it. */
export function poolScatter(pool: Pool, y: Operand, index: Operand | undefined, x: Output): Kernel {
  if (isWrittenOut(pool) && isWhole(pool)) return tiledScatter(pool, y, index, x);
  const { planes, h, w, size } = pool;
  // Where windows tile the plane, over windows, or else over elements.
  const over = planes * (isTiled(pool) ? Math.ceil(h / size) * Math.ceil(w / size) : h * w);
  const code = wgsl`
${dualInput(0, "ys", y)}
${index ? input(2, "indices", index.primal, "i32") : ""}
${declareStored(index ? 2 : 1, "xs", x, 1)}
${linearMain(over)}
  ${isTiled(pool) ? scatterWindow(pool, y, index, x) : gatherWindows(pool, y, index, x)}
}`;
  return { code, grid: linearGrid(over) };
}

/** A window's elements; windows over the edge, which pool nothing, stand for the elements that are in none. */
function scatterWindow(pool: Pool, y: Operand, index: Operand | undefined, x: Output): string {
  const { h, w, size, oh, ow } = pool;
  const [down, across] = [Math.ceil(h / size), Math.ceil(w / size)];
  const ragged = down > oh || across > ow;
  const value = (half: "primal" | "tangent") => [index ? `select(0.0, ${half}, own == best)` : half];
  const values = { primal: value("primal"), tangent: value("tangent") };
  return wgsl`let line = i / ${across}u % ${down}u;
  let column = i % ${across}u;
  let plane = i / ${down * across}u * ${h * w}u;
  let j = (i / ${down * across}u * ${oh}u + line) * ${ow}u + column;
  ${x.primal ? "var primal = 0.0;" : ""}
  ${x.tangent ? "var tangent = 0.0;" : ""}
  ${index ? "var best = 0u;" : ""}
  ${ragged ? `if (line < ${oh}u && column < ${ow}u) {` : "{"}
    ${x.primal ? `primal = ${primal("ys", y, "j")};` : ""}
    ${x.tangent ? `tangent = ${tangent("ys", y, "j")};` : ""}
    ${index ? `best = u32(indices[${at(index.primal, "j")}]);` : ""}
  }
  for (var r = 0u; r < ${size}u; r++) {
    for (var c = 0u; c < ${size}u; c++) {
      let own = (line * ${size}u + r) * ${w}u + column * ${size}u + c;
      ${ragged ? `if (line * ${size}u + r >= ${h}u || column * ${size}u + c >= ${w}u) { continue; }` : ""}
      ${storeOutput("xs", x, "plane + own", values)}
    }
  }`;
}

/** An element of x from the windows that hold it. */
function gatherWindows(pool: Pool, y: Operand, index: Operand | undefined, x: Output): string {
  const { h, w, size, stride, padding, oh, ow } = pool;
  return wgsl`let own = i % ${h * w}u;
  let row = i32(own / ${w}u) + ${padding};
  let column = i32(own % ${w}u) + ${padding};
  let plane = i / ${h * w}u * ${oh * ow}u;
  var primal = 0.0;
  var tangent = 0.0;
  // Window r begins at r · stride: the first that holds a row is the least r with r · stride > row - size.
  for (var r = max(row - ${size} + ${stride}, 0) / ${stride}; r < ${oh} && r * ${stride} <= row; r++) {
    for (var c = max(column - ${size} + ${stride}, 0) / ${stride}; c < ${ow} && c * ${stride} <= column; c++) {
      let j = plane + u32(r * ${ow} + c);
#if ${index !== undefined}
      if (u32(indices[${at(index?.primal, "j")}]) != own) { continue; }
#endif
      ${x.primal ? `primal += ${primal("ys", y, "j")};` : ""}
      ${x.tangent ? `tangent += ${tangent("ys", y, "j")};` : ""}
    }
  }
  ${storeOutput("xs", x, "i", HALVES)}`;
}
