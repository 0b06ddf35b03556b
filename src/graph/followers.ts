import type { AdapterTraits } from "../../shaders/variants.ts";
import { buffers } from "./fusion.ts";
import { extentOf, type Lanes, type Part } from "./placement.ts";
import type { Step } from "./schedule.ts";
import { baseOf, isPointwise, isSum, type KernelRule, parents, type Tensor } from "./tensor.ts";

/** By each step whose kernel does more: the operations on rows of its output that follow there. */
export type Followers = ReadonlyMap<Step, readonly Step[]>;

/**
 * Operations on the rows of a product, where its threads hold whole rows: they follow in its kernel, and the product is
 * written only if something else reads it. Steps in an order in which they come right behind their product, and that
 * before all that reads it.
 */
export function withFollowers(
  steps: readonly Step[],
  adapter: AdapterTraits,
  lanes: Lanes,
): { readonly steps: readonly Step[]; readonly followers: Followers } {
  const followers = new Map<Step, readonly Step[]>();
  let order = steps;
  for (const product of steps) {
    const { tensor, mode } = product;
    const where = { adapter, lanes: lanesOf(product, lanes) };
    if (!kernelRule(tensor)?.holdsRows?.(mode, where)) continue;
    const first = order.findIndex((step) => reads(step, tensor));
    if (first < 0) continue;
    const later = new Set(order.slice(first).map((step) => step.tensor));
    let bound = buffersOf(product) + buffers([mode]);
    const following = order.slice(first).filter((step) => {
      const [row, ...others] = parents(step.tensor);
      const isReady = others.every((other) => baseOf(other) !== tensor && !later.has(baseOf(other)));
      const isOfRows = row === tensor && kernelRule(step.tensor)?.ofRows !== undefined;
      const more = buffersOf(step, product) + buffers([step.mode]);
      if (!isOfRows || !isReady || lanesOf(step, lanes) !== where.lanes) return false;
      if (bound + more > adapter.buffers) return false;
      bound += more;
      return true;
    });
    if (following.length === 0) continue;
    const moved = new Set([product, ...following]);
    const rest = (part: readonly Step[]) => part.filter((step) => !moved.has(step));
    order = [...rest(order.slice(0, first)), ...moved, ...rest(order.slice(first))];
    followers.set(product, following);
  }
  return { steps: order, followers };
}

const reads = ({ tensor }: Step, parent: Tensor): boolean =>
  parents(tensor).some((each) => baseOf(each) === parent);

/** The halves of a product that must be written, as steps read them that do not follow in its kernel. */
export function readElsewhere(
  { tensor, mode }: Step,
  following: readonly Step[],
  steps: readonly Step[],
): { readonly primal: boolean; readonly tangent: boolean } {
  const others = steps.filter((step) => !following.includes(step));
  const isRead = (part: Part) =>
    others.some((step) =>
      parents(step.tensor).some((parent, k) => baseOf(parent) === tensor && halfOf(step, k)[part]),
    );
  return { primal: mode.primal && isRead("primal"), tangent: mode.tangent && isRead("tangent") };
}

/** What a step reads of its input number `k`. */
const halfOf = ({ mode, reads }: Step, k: number) => ({
  primal: reads[k]!,
  tangent: mode.tangent && mode.active[k]!,
});

function kernelRule({ source }: Tensor): KernelRule | undefined {
  if (source.kind !== "rule" || isPointwise(source.rule) || isSum(source.rule)) return undefined;
  return source.rule;
}

/** Storage buffers that the kernel of a step reads, or that are read for it behind the product that has some at hand. */
function buffersOf(step: Step, product?: Step): number {
  const read = parents(step.tensor).map((parent, k) => {
    const { primal, tangent } = halfOf(step, k);
    const held = parent === product?.tensor ? product.mode : { primal: false, tangent: false };
    return { primal: primal && !held.primal, tangent: tangent && !held.tangent };
  });
  return buffers(read);
}

/** Lanes that the kernel of a step runs over. */
function lanesOf({ tensor, mode }: Step, lanes: Lanes): number {
  const of = (part: Part) => {
    if (!mode[part] || extentOf(tensor, part, lanes).lane === 0) return 1;
    return part === "primal" ? (lanes.points ?? lanes.lanes) : lanes.lanes;
  };
  return Math.max(of("primal"), of("tangent"));
}
