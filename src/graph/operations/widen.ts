import { stridedCopy } from "../../../shaders/copy.ts";
import { linearGrid } from "../../../shaders/operand.ts";
import { size } from "../shape.ts";
import { type Rule, Tensor, view } from "../tensor.ts";

const rule: Rule = {
  name: "widen",
  reads: ({ primal }) => [primal],
  kernel({ inputs: [x], out }) {
    const count = size(out.shape);
    return { code: stridedCopy(count, "i", "true", x!, out), grid: linearGrid(count), flops: 0 };
  },
};

const widened = new WeakMap<Tensor, Tensor>();

/** The floats of a `unorm8` tensor, in memory: one for all that ask, and for all parts of it. */
export function widen(x: Tensor): Tensor {
  const { source, shape } = x;
  if (source.kind === "view") return view(widen(source.base), source.offset, shape);
  const floats = widened.get(x) ?? new Tensor(shape, "f32", { kind: "rule", rule, inputs: [x] });
  widened.set(x, floats);
  return floats;
}
