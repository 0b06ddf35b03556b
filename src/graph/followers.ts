import type { AdapterTraits } from "../../shaders/variants.ts";
import { buffers, type Fusion, type Reading } from "./fusion.ts";
import { extentOf, type Lanes, type Part } from "./placement.ts";
import type { Step } from "./schedule.ts";
import { sameShape } from "./shape.ts";
import { baseOf, isPointwise, isSum, type KernelRule, parents, type Tensor } from "./tensor.ts";

/** By each step whose kernel does more with its output, the steps that follow there. */
export type Followers = ReadonlyMap<Step, readonly Step[]>;

export interface FollowersOptions extends Lanes {
  readonly adapter: AdapterTraits;
  readonly fusion: Fusion;
  /** Tensors that no kernel of the program computes by itself. */
  readonly left: ReadonlySet<Tensor>;
}

/**
 * Elementwise operations on the output of a kernel, and operations on its rows where threads hold whole ones, follow in
 * that kernel, and the output is written only if something else reads it. Steps in an order in which they come right
 * behind it, and that before all that reads it.
 */
export function withFollowers(
  steps: readonly Step[],
  { adapter, fusion, left, ...lanes }: FollowersOptions,
): { readonly steps: readonly Step[]; readonly followers: Followers } {
  const followers = new Map<Step, readonly Step[]>();
  const taken = new Set<Step>();
  let order = steps;
  for (const leader of steps) {
    const { tensor, mode } = leader;
    const rule = kernelRule(tensor);
    const where = { adapter, lanes: lanesOf(leader, lanes) };
    if (rule === undefined || taken.has(leader) || (rule.parts?.(mode, where) ?? 1) > 1) continue;
    const holdsRows = rule.holdsRows?.(mode, where) ?? false;
    if (!rule.carriesOn && !holdsRows) continue;
    const first = order.findIndex((step) => parents(step.tensor).some((parent) => baseOf(parent) === tensor));
    if (first < 0) continue;
    const later = new Set(order.slice(first).map((step) => step.tensor));
    let bound = buffers(fusion.readings(leader)) + buffers([mode]);
    const following = order.slice(first).filter((step) => {
      if (fusion.has(step.tensor) || left.has(step.tensor) || taken.has(step)) return false;
      const follows = rule.carriesOn && isElementwiseOf(tensor, step, fusion);
      if (!follows && !(holdsRows && isOfRows(tensor, step))) return false;
      const others = fusion.readings(step).filter((reading) => reading.tensor !== tensor);
      if (others.some((reading) => later.has(baseOf(reading.tensor)))) return false;
      if (others.some((reading) => baseOf(reading.tensor) === tensor)) return false;
      const more = buffers(fusion.readings(step).map((reading) => notAtHand(reading, leader)));
      if (lanesOf(step, lanes) !== where.lanes) return false;
      if (bound + more + buffers([step.mode]) > adapter.buffers) return false;
      bound += more + buffers([step.mode]);
      return true;
    });
    if (following.length === 0) continue;
    const moved = new Set([leader, ...following]);
    const rest = (part: readonly Step[]) => part.filter((step) => !moved.has(step));
    order = [...rest(order.slice(0, first)), ...moved, ...rest(order.slice(first))];
    followers.set(leader, following);
    for (const step of following) taken.add(step);
  }
  return { steps: order, followers };
}

/** The halves of a step's output that kernels read which do not follow in its own. */
export function readElsewhere(
  { tensor, mode }: Step,
  following: readonly Step[],
  steps: readonly Step[],
  fusion: Fusion,
): { readonly primal: boolean; readonly tangent: boolean } {
  const readings = steps
    .filter((step) => !following.includes(step) && !fusion.has(step.tensor))
    .flatMap((step) => fusion.readings(step))
    .filter((reading) => baseOf(reading.tensor) === tensor);
  return {
    primal: mode.primal && readings.some(({ primal }) => primal),
    tangent: mode.tangent && readings.some(({ tangent }) => tangent),
  };
}

/** What of a reading has to be bound in the kernel of a step, which has its own output at hand. */
const notAtHand = ({ tensor, primal, tangent }: Reading, leader: Step) => {
  const held = tensor === leader.tensor ? leader.mode : { primal: false, tangent: false };
  return { primal: primal && !held.primal, tangent: tangent && !held.tangent };
};

function isElementwiseOf(leader: Tensor, step: Step, fusion: Fusion): boolean {
  const { source, shape } = step.tensor;
  if (source.kind !== "rule" || !isPointwise(source.rule) || !sameShape(shape, leader.shape)) return false;
  return fusion.readings(step).some(({ tensor }) => tensor === leader);
}

const isOfRows = (leader: Tensor, { tensor }: Step): boolean =>
  parents(tensor)[0] === leader && kernelRule(tensor)?.ofRows !== undefined;

function kernelRule({ source }: Tensor): KernelRule | undefined {
  if (source.kind !== "rule" || isPointwise(source.rule) || isSum(source.rule)) return undefined;
  return source.rule;
}

/** Lanes that the kernel of a step runs over. */
function lanesOf({ tensor, mode }: Step, lanes: Lanes): number {
  const of = (part: Part) => {
    if (!mode[part] || extentOf(tensor, part, lanes).lane === 0) return 1;
    return part === "primal" ? (lanes.points ?? lanes.lanes) : lanes.lanes;
  };
  return Math.max(of("primal"), of("tangent"));
}
