import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { AFTER, type Finish } from "./lane_sum.ts";
import { at, float, input, linearMain, output, type View } from "./operand.ts";

/** y = decay y + factor c x, elementwise over `count` elements a lane; decay and c may be read from buffers. */
export function accumulate(
  count: number,
  x: View,
  y: View,
  { decay, factor, scale }: { decay: Coefficient; factor: number; scale: Coefficient },
): string {
  return wgsl`
${input(0, "xs", x)}
${output(1, "ys", y)}
${declareCoefficient(2, "scale", scale)}
${stepTable(3)}
${declareCoefficient(4, "decay", decay)}
${linearMain(count)}
  let y = ${decay.literal === 0 ? "0.0" : `${coefficient("decay", decay)} * ys[${at(y, "i")}]`};
  ys[${at(y, "i")}] = y + ${float(factor)} * ${coefficient("scale", scale)} * xs[${at(x, "i")}];
}`;
}

/** out[element] += factor c sum; `element` is WGSL of `step` and `lane`. */
export function addTo(
  out: View & { readonly element: string },
  { factor, scale }: { factor: number; scale: Coefficient },
): Finish {
  return {
    declarations: `${output(AFTER, "outs", out)}
${declareCoefficient(AFTER + 1, "scale", scale)}
${stepTable(AFTER + 2)}`,
    code: `outs[${at(out, out.element)}] += ${float(factor)} * ${coefficient("scale", scale)} * sum;`,
  };
}

/** y = factor · sum of x over the lanes, in their order. */
export function sumLanes(count: number, lanes: number, x: View, factor: number): string {
  return wgsl`
${input(0, "xs", x)}
${output(1, "ys", { offset: 0, lane: 0 })}
${linearMain(count)}
  var sum = 0.0;
  for (var l = 0u; l < ${lanes}u; l++) { sum += xs[${x.offset}u + l * ${x.lane}u + i]; }
  ys[i] = ${float(factor)} * sum;
}`;
}
