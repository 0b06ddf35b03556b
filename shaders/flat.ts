import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { AFTER, type Finish } from "./lane_sum.ts";
import { at, float, input, linearMain, output, type View } from "./operand.ts";
import { behind, declarePrologue, evaluatePrologue, type FlatKernel, type Prologue } from "./prologue.ts";
import { fit, inVectors, placed, vector } from "./width.ts";

/** y = decay y + factor c x, elementwise over `count` elements a lane; decay and c may be read from buffers. */
export function accumulate(
  count: number,
  x: Prologue,
  y: View,
  { decay, factor, scale }: { decay: Coefficient; factor: number; scale: Coefficient },
): FlatKernel {
  const width = fit([count, ...placed(y)]);
  const next = behind(x);
  const { code, value } = evaluatePrologue(x, width);
  const old = `ys[${at(inVectors(y, width), "i")}]`;
  const kept = decay.literal === 0 ? "" : `${coefficient("decay", decay)} * ${old} + `;
  return {
    code: wgsl`
${declarePrologue(x, width)}
${output(next, "ys", y, vector(width))}
${declareCoefficient(next + 1, "scale", scale)}
${stepTable(next + 2)}
${declareCoefficient(next + 3, "decay", decay)}
${linearMain(count / width)}
  ${code}
  ${old} = ${kept}${float(factor)} * ${coefficient("scale", scale)} * ${value};
}`,
    elements: count / width,
  };
}

/** out[element] += factor c sum; `element` is WGSL of `inner` and `lane`. */
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
