import { stridedCopy } from "../../../shaders/copy.ts";
import { linearGrid } from "../../../shaders/operand.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { formatShape, normalizeAxis, type Shape, ShapeError, size, strides } from "../shape.ts";
import { constant, constantValue, type Mode, type Rule, type Tensor, view } from "../tensor.ts";

/** The same elements in row-major order under another shape; one axis may be -1. @throws ShapeError */
export function reshape(x: Tensor, shape: Shape): Tensor {
  assertTensors("reshape", x);
  const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
  const full = shape.map((n) => (n === -1 ? x.size / known : n));
  if (size(full) !== x.size || full.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new ShapeError(`${formatShape(x.shape)} cannot be reshaped to ${formatShape(shape)}`);
  }
  return view(x, 0, full);
}

/** Each example as a row: [n×…] to [n×m]. @throws ShapeError */
export function flatten(x: Tensor): Tensor {
  assertTensors("flatten", x);
  return reshape(x, [x.shape[0] ?? 1, -1]);
}

/** Elements `start` ≤ i < `stop` along `axis`. The first axis costs nothing. @throws ShapeError */
export function slice(x: Tensor, start: number, stop: number, axis = 0): Tensor {
  assertTensors("slice", x);
  const along = normalizeAxis(axis, x.shape);
  const extent = x.shape[along]!;
  if (!(Number.isInteger(start) && Number.isInteger(stop) && 0 <= start && start < stop && stop <= extent)) {
    throw new ShapeError(
      `slice ${start}:${stop} of axis ${along} of ${formatShape(x.shape)}: 0 ≤ start < stop ≤ ${extent}`,
    );
  }
  if (stop - start === extent) return x;
  const shape = x.shape.with(along, stop - start);
  const inner = size(x.shape.slice(along + 1));
  if (size(x.shape.slice(0, along)) === 1) return view(x, start * inner, shape);
  return window(x, { inner, from: extent, to: stop - start, shift: start }, shape);
}

/** Axes in another order (reversed when none is given). @throws ShapeError */
export function transpose(x: Tensor, given?: readonly number[]): Tensor {
  assertTensors("transpose", x);
  const order = given ?? x.shape.map((_, axis) => axis).reverse();
  const axes = order.map((axis) => normalizeAxis(axis, x.shape));
  if (axes.length !== x.shape.length || new Set(axes).size !== axes.length) {
    throw new ShapeError(`[${order}] is no order of the axes of ${formatShape(x.shape)}`);
  }
  return permute(x, axes);
}

function permute(x: Tensor, axes: readonly number[]): Tensor {
  const shape = axes.map((axis) => x.shape[axis]!);
  const value = constantValue(x);
  if (value !== undefined) return constant(value, shape);
  const from = strides(x.shape);
  const to = strides(shape);
  const source = axes.map((axis, k) => `(i / ${to[k]}u % ${shape[k]}u) * ${from[axis]}u`).join(" + ");
  const inverse = axes.map((_, axis) => axes.indexOf(axis));
  const rule = copyRule("transpose", source || "i", "true", (cotangent) => permute(cotangent, inverse));
  return apply(rule, [x], shape);
}

/** A run of one axis: `to` elements of it appear, the first being element `shift` of the `from` that there are. */
interface Window {
  readonly inner: number;
  readonly from: number;
  readonly to: number;
  readonly shift: number;
}

/** Cuts a window out (`to` ≤ `from`) or, its adjoint, sets it into zeros. */
function window(x: Tensor, { inner, from, to, shift }: Window, shape: Shape): Tensor {
  const position = `i32(i / ${inner}u % ${to}u) + ${shift}`;
  const source = `(i / ${inner * to}u) * ${inner * from}u + u32(${position}) * ${inner}u + i % ${inner}u`;
  const cut = to <= from;
  const inside = cut ? "true" : `${position} >= 0 && ${position} < ${from}`;
  const rule = copyRule(cut ? "slice" : "pad", source, inside, (cotangent) =>
    window(cotangent, { inner, from: to, to: from, shift: -shift }, x.shape),
  );
  return apply(rule, [x], shape);
}

/** A rule that only moves elements; `adjoint` moves a cotangent back. */
function copyRule(
  name: string,
  source: string,
  inside: string,
  adjoint: (cotangent: Tensor) => Tensor,
): Rule {
  return {
    name,
    reads: ({ primal }: Mode) => [primal],
    kernel({ inputs: [x], out }) {
      const count = size(out.shape);
      return { code: stridedCopy(count, source, inside, x!, out), grid: linearGrid(count), flops: 0 };
    },
    vjp: (_inputs, _output, cotangent) => [adjoint(cotangent)],
  };
}
