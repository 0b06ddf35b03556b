import { linearGrid, lineOfGroups } from "../../../shaders/operand.ts";
import { identity } from "../../../shaders/pointwise.ts";
import { type Reduction, reduceSerial, reduceTree } from "../../../shaders/reduce.ts";
import type { AdapterTraits } from "../../../shaders/variants.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { normalizeAxis, type Shape, sameShape, size } from "../shape.ts";
import {
  constant,
  constantValue,
  type KernelCall,
  type KernelCode,
  type PointwiseRule,
  type SumRule,
  type Tensor,
  view,
} from "../tensor.ts";

/** Sum over one axis, several, or all; summed axes vanish. @throws ShapeError for an axis that does not exist. */
export function sum(x: Tensor, axes?: number | readonly number[]): Tensor {
  assertTensors("sum", x);
  const all = x.shape.map((_, axis) => axis);
  const chosen = axes === undefined ? all : [axes].flat().map((axis) => normalizeAxis(axis, x.shape));
  let result = x;
  for (const [first, last] of runs(chosen).reverse()) result = sumRun(result, first, last);
  return result;
}

/** Groups axes into runs of neighbours, [first, last], ascending. */
function runs(axes: readonly number[]): [number, number][] {
  const result: [number, number][] = [];
  for (const axis of [...new Set(axes)].sort((a, b) => a - b)) {
    const current = result[result.length - 1];
    if (current !== undefined && current[1] === axis - 1) current[1] = axis;
    else result.push([axis, axis]);
  }
  return result;
}

function sumRun(x: Tensor, first: number, last: number): Tensor {
  const reduction: Reduction = {
    outer: size(x.shape.slice(0, first)),
    reduced: size(x.shape.slice(first, last + 1)),
    inner: size(x.shape.slice(last + 1)),
  };
  const shape = x.shape.toSpliced(first, last - first + 1);
  const value = constantValue(x);
  if (value !== undefined) return constant(value * reduction.reduced, shape);
  if (reduction.reduced === 1) return view(x, 0, shape);
  const kept = x.shape.map((n, axis) => (axis >= first && axis <= last ? 1 : n));
  const rule: SumRule = {
    name: "sum",
    reads: ({ primal }) => [primal],
    reduction,
    parts: (_, where) => reductionParts(reduction, where),
    sums: (call) => reductionKernel(reduction, call),
    vjp: (_inputs, _output, cotangent) => [broadcastTo(view(cotangent, 0, kept), x.shape)],
  };
  return apply(rule, [x], shape);
}

/**
 * Short sums, and many of them, go one to an invocation; the rest one to a workgroup. On software adapters a
 * barrier costs more than thousands of additions; a GPU wants neighbouring threads at neighbouring terms.
 */
const isSerial = ({ outer, reduced, inner }: Reduction, { kind }: AdapterTraits) =>
  kind === "hardware"
    ? reduced < 64 || (inner > 1 && outer * inner >= 1024)
    : reduced < 8192 || outer * inner >= 1024;

/** Workgroups that a GPU is to have at least, and terms that make a part of a sum worth one. */
const WANTED = 128;
const LEAST_TERMS = 2048;

/** The parts in which `reductionKernel` leaves its sums: few long ones alone would leave a GPU idle. */
function reductionParts(
  reduction: Reduction,
  { adapter, lanes }: Pick<KernelCall, "adapter" | "lanes">,
): number {
  if (adapter.kind !== "hardware" || isSerial(reduction, adapter)) return 1;
  const groups = reduction.outer * reduction.inner * lanes;
  return Math.max(1, Math.min(Math.floor(WANTED / groups), Math.floor(reduction.reduced / LEAST_TERMS)));
}

/** Sums of a chain's elements. */
function reductionKernel(
  reduction: Reduction,
  { chain, out, ...where }: Parameters<SumRule["sums"]>[0],
): KernelCode {
  const sums = reduction.outer * reduction.inner;
  const parts = reductionParts(reduction, where);
  const kernel = isSerial(reduction, where.adapter)
    ? { code: reduceSerial(reduction, chain, out), grid: linearGrid(sums) }
    : { code: reduceTree(reduction, chain, out, parts), grid: lineOfGroups(sums * parts) };
  return { ...kernel, flops: sums * reduction.reduced };
}

/** The same values along every axis that `shape` adds or widens. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  assertTensors("broadcastTo", x);
  const value = constantValue(x);
  if (value !== undefined) return constant(value, shape);
  if (x.size === size(shape)) return view(x, 0, shape);
  const rule: PointwiseRule = {
    name: "broadcast",
    reads: ({ primal }) => [primal],
    formula: identity,
    vjp: (_inputs, _output, cotangent) => [sumTo(cotangent, x.shape)],
  };
  return apply(rule, [x], shape);
}

/** The adjoint of broadcasting: sums over every axis that `shape` lacks or has as 1. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const shift = x.shape.length - shape.length;
  const widened = x.shape
    .map((_, axis) => axis)
    .filter((axis) => axis < shift || (shape[axis - shift] === 1 && x.shape[axis] !== 1));
  return view(sum(x, widened), 0, shape);
}
