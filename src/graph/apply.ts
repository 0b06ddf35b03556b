import { fill } from "./operations/fill.ts";
import { widen } from "./operations/widen.ts";
import { formatShape, type Shape, ShapeError } from "./shape.ts";
import { constantValue, type DType, type Rule, Tensor } from "./tensor.ts";

/** The tensor that `rule` makes of `inputs`. @throws ShapeError where integers stand for floats. */
export function apply(rule: Rule, inputs: readonly Tensor[], shape: Shape, dtype: DType = "f32"): Tensor {
  inputs.forEach((input, k) => {
    if (input.dtype === "i32" && dtype !== "i32" && k !== rule.integers) {
      throw new ShapeError(
        `${rule.name} takes floats, not i32 ${formatShape(input.shape)}: give it as a Float32Array`,
      );
    }
  });
  const taken = inputs.map((input, k) => {
    if (input.dtype === "unorm8") return rule.bytes?.includes(k) ? input : widen(input);
    return rule.literals ? input : materialize(input);
  });
  return new Tensor(shape, dtype, { kind: "rule", rule, inputs: taken });
}

/** The same values in memory: constants are written out, anything else is itself. */
function materialize(tensor: Tensor): Tensor {
  const value = constantValue(tensor);
  return value === undefined
    ? tensor
    : new Tensor(tensor.shape, "f32", { kind: "rule", rule: fill(value), inputs: [] });
}
