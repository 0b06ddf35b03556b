import type { AdapterTraits } from "../../shaders/variants.ts";
import {
  isPointwise,
  isSum,
  type Operand,
  parents,
  type Rule,
  storage,
  type Tensor,
  topological,
} from "./tensor.ts";

/** Kernels depend on the adapter, what they compute does not: this one stands for all. */
const adapter: AdapterTraits = { kind: "software", buffers: 8 };

/**
 * What a tensor is computed by, as text, a line for each tensor that it comes from: the same for the same computation,
 * whatever numbers the leaves hold.
 */
export function statement(root: Tensor): string {
  const order = topological([root]);
  const numbers = new Map(order.map((tensor, index) => [tensor, index]));
  return order
    .map((tensor) => {
      const from = parents(tensor).map((parent) => numbers.get(parent));
      return `${tensor.dtype} [${tensor.shape}] of [${from}]: ${meaning(tensor)}`;
    })
    .join("\n");
}

function meaning({ shape, source }: Tensor): string {
  switch (source.kind) {
    case "leaf":
      return source.name;
    case "constant":
      return `${source.value}`;
    case "view":
      return `from ${source.offset}`;
    case "assembly":
      return `at ${source.pieces.map(({ offset }) => offset)}`;
    case "rule":
      return `${source.rule.name} ${code(source.rule, source.inputs, shape)}`;
  }
}

/** WGSL for the value of a rule's result. */
function code(rule: Rule, inputs: readonly Tensor[], shape: readonly number[]): string {
  if (isPointwise(rule)) {
    const factors = inputs.map((_, k) => ({ value: `x${k}` }));
    return `${rule.formula.functions ?? ""} ${rule.formula.value(factors)}`;
  }
  const out: Operand = { shape, primal: { offset: 0, lane: 0 } };
  const operands = inputs.map(({ shape, source, dtype }): Operand => {
    if (source.kind === "constant") return { shape, literal: source.value };
    return { shape, primal: { offset: 0, lane: 0, ...storage(dtype) } };
  });
  const call = { inputs: operands, out, adapter, lanes: 1 };
  const active = inputs.map(() => false);
  if (!isSum(rule)) return rule.kernel(call, { primal: true, tangent: false, active }).code;
  const leaves = operands.map((operand) => ({ ...operand, index: (i: string) => i, run: 0 }));
  return rule.sums({ ...call, chain: { leaves, operations: [] } }).code;
}
