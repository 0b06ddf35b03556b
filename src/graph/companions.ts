import type { AdapterTraits } from "../../shaders/variants.ts";
import type { Fusion } from "./fusion.ts";
import type { Step } from "./schedule.ts";
import { baseOf, isPointwise, isSum, type Tensor } from "./tensor.ts";

/**
 * Sums over the first axis of a matrix that a product reads too: the product's kernel writes them beside. Steps in an
 * order in which each such sum comes right before its product, and the sum of each such product.
 */
export function withCompanions(
  steps: readonly Step[],
  fusion: Fusion,
  adapter: AdapterTraits,
): { readonly steps: readonly Step[]; readonly companions: ReadonlyMap<Step, Step> } {
  const companions = new Map<Step, Step>();
  let order = steps;
  for (const sum of steps) {
    const summed = summedBy(sum, fusion);
    const product =
      summed && steps.find((step) => !companions.has(step) && canCarry(step, sum, summed, adapter));
    const together = product && broughtTogether(order, sum, product, fusion);
    if (together === undefined) continue;
    order = together;
    companions.set(product!, sum);
  }
  return { steps: order, companions };
}

/** The matrix over whose first axis a step sums, as it stands in memory. */
function summedBy(step: Step, fusion: Fusion): Tensor | undefined {
  const { source } = step.tensor;
  if (source.kind !== "rule" || !isSum(source.rule)) return undefined;
  const [matrix] = source.inputs;
  const { outer, inner } = source.rule.reduction;
  const isOverRows = outer === 1 && matrix!.shape.length === 2 && matrix!.shape[1] === inner;
  return isOverRows && fusion.of(step).computings.length === 0 ? matrix : undefined;
}

/** May the kernel of a step write the same halves of a sum of this matrix? */
function canCarry(
  { tensor: { source }, mode }: Step,
  sum: Step,
  matrix: Tensor,
  adapter: AdapterTraits,
): boolean {
  if (source.kind !== "rule" || isPointwise(source.rule) || isSum(source.rule)) return false;
  const { beside } = source.rule;
  // A bias' buffers would leave none for the sums.
  if (source.inputs.length > 2) return false;
  if (beside === undefined || source.inputs[beside.sumsOf] !== matrix || !beside.isWorthwhile(adapter))
    return false;
  const { primal, tangent } = sum.mode;
  return mode.primal === primal && mode.tangent === tangent && (!tangent || mode.active[beside.sumsOf]!);
}

/** The order with the sum right before the product, unless it is needed earlier. */
function broughtTogether(
  order: readonly Step[],
  sum: Step,
  product: Step,
  fusion: Fusion,
): readonly Step[] | undefined {
  const others = order.filter((step) => step !== sum);
  const at = others.indexOf(product);
  const waiting = others.slice(order.indexOf(sum), at + 1);
  const isRead = waiting.some((step) =>
    fusion.readings(step).some(({ tensor }) => baseOf(tensor) === sum.tensor),
  );
  return isRead ? undefined : others.toSpliced(at, 0, sum);
}
