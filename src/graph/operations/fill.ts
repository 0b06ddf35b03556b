import { fill as fillShader } from "../../../shaders/copy.ts";
import { linearGrid } from "../../../shaders/operand.ts";
import { size } from "../shape.ts";
import type { Rule } from "../tensor.ts";

/** Writes a constant out. */
export function fill(value: number): Rule {
  return {
    name: "fill",
    reads: () => [],
    kernel({ out }) {
      const count = size(out.shape);
      return { code: fillShader(value, count, out), grid: linearGrid(count), flops: 0 };
    },
  };
}
