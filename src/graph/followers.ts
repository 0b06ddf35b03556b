import type { AdapterTraits } from "../../shaders/variants.ts";
import { buffers, type Fusion, type Reading } from "./fusion.ts";
import { extentOf, type Lanes, type Part } from "./placement.ts";
import type { Step } from "./schedule.ts";
import { sameShape } from "./shape.ts";
import { baseOf, isPointwise, isSum, type KernelRule, parents, type Tensor } from "./tensor.ts";

/** What a kernel does with its output besides writing it. */
export interface Following {
  /** The steps that follow in it. */
  readonly steps: readonly Step[];
  /** The halves of the output that other kernels read. */
  readonly readElsewhere: { readonly primal: boolean; readonly tangent: boolean };
}

export interface FollowersOptions extends Lanes {
  readonly adapter: AdapterTraits;
  readonly fusion: Fusion;
  /** The sums that kernels of other steps write beside. */
  readonly companions: ReadonlyMap<Step, Step>;
  /** Steps that kernels behind the program do. */
  readonly open: readonly Step[];
}

/**
 * Elementwise operations on the output of a kernel, and operations on its rows where threads hold whole ones, follow in
 * that kernel, and the output is written only if something else reads it. Steps in an order in which they come right
 * behind it, and that before the first kernel that reads it.
 */
export function withFollowers(
  steps: readonly Step[],
  { adapter, fusion, companions, open, ...lanes }: FollowersOptions,
): { readonly steps: readonly Step[]; readonly followers: ReadonlyMap<Step, Following> } {
  const followers = new Map<Step, Following>();
  const assembled = new Set(
    steps.flatMap(({ tensor }) => (isAssembly(tensor) ? parents(tensor).map(baseOf) : [])),
  );
  const taken = new Set<Step>(companions.values());
  const readers = readersOf([...steps, ...open], fusion);
  let order = steps;
  for (const leader of steps) {
    const { tensor, mode } = leader;
    const where = { adapter, lanes: lanesOf(leader, lanes) };
    const goesOn = taken.has(leader) ? undefined : kernelRule(tensor)?.goesOn?.(mode, where);
    const reading = readers.get(tensor) ?? [];
    if (goesOn === undefined || reading.length === 0) continue;
    const companion = companions.get(leader);
    const kernel = companion ? [companion, leader] : [leader];
    const waits = new Set(
      kernel.flatMap((step) => (readers.get(step.tensor) ?? []).map((reader) => reader.step)),
    );
    const first = order.findIndex(
      (step) => waits.has(step) || followers.get(step)?.steps.some((follower) => waits.has(follower)),
    );
    if (first < 0) continue;
    const later = new Set(order.slice(first).map((step) => step.tensor));
    for (const step of kernel) later.add(step.tensor);
    let bound = buffers(fusion.readings(leader)) + buffers(kernel.map((step) => step.mode));
    // Pieces of one assembly stand in one buffer, which a kernel must not bind twice to write.
    let pieces = kernel.filter((step) => assembled.has(step.tensor)).length;
    const mayFollow = (step: Step): boolean => {
      const isElement = goesOn.byElement && isElementwiseOf(tensor, step, fusion);
      if (taken.has(step) || !(isElement || (goesOn.byRow && isOfRows(tensor, step)))) return false;
      const others = fusion
        .readings(step)
        .filter((each) => each.tensor !== tensor && (each.primal || each.tangent));
      if (others.some((each) => later.has(baseOf(each.tensor)))) return false;
      return lanesOf(step, lanes) === where.lanes;
    };
    const following = order.slice(first).filter((step) => {
      if (!mayFollow(step)) return false;
      const piece = Number(assembled.has(step.tensor));
      const more = buffers([...fusion.readings(step).map((each) => notAtHand(each, leader)), step.mode]);
      if (pieces + piece > 1 || bound + more > adapter.buffers) return false;
      pieces += piece;
      bound += more;
      return true;
    });
    if (following.length === 0) continue;
    const moved = new Set([...kernel, ...following]);
    const rest = (part: readonly Step[]) => part.filter((step) => !moved.has(step));
    order = [...rest(order.slice(0, first)), ...moved, ...rest(order.slice(first))];
    const elsewhere = reading.filter(({ step }) => !following.includes(step));
    followers.set(leader, {
      steps: following,
      readElsewhere: {
        primal: mode.primal && elsewhere.some(({ primal }) => primal),
        tangent: mode.tangent && elsewhere.some(({ tangent }) => tangent),
      },
    });
    for (const step of following) taken.add(step);
  }
  return { steps: order, followers };
}

interface Reader extends Pick<Reading, "primal" | "tangent"> {
  readonly step: Step;
}

/** The steps whose kernels read a tensor, or a view of it. */
function readersOf(steps: readonly Step[], fusion: Fusion): ReadonlyMap<Tensor, readonly Reader[]> {
  const readers = new Map<Tensor, Reader[]>();
  for (const step of steps) {
    for (const { tensor, primal, tangent } of fusion.readings(step)) {
      if (!primal && !tangent) continue;
      const known = readers.get(baseOf(tensor)) ?? [];
      readers.set(baseOf(tensor), [...known, { step, primal, tangent }]);
    }
  }
  return readers;
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

const isAssembly = ({ source }: Tensor): boolean => source.kind === "assembly";

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
