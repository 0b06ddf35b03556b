import type { View } from "../../shaders/operand.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Block } from "../gpu/block.ts";
import type { Fusion } from "./fusion.ts";
import type { Schedule, Step } from "./schedule.ts";
import { baseOf, bytesOf, parents, type Tensor } from "./tensor.ts";

export type Part = "primal" | "tangent";

/** A half of a leaf. */
export type LeafHalf = readonly [leaf: Tensor, part: Part];

/** A place for an output: a block, and elements from one lane to the next (0: one value for all lanes). */
export interface Target {
  readonly block: Block;
  readonly lane: number;
}

/** Where a tensor's values are: in a block of the plan, or in whatever is bound to a leaf when it is recorded. */
export interface Place {
  readonly at: Block | { readonly leaf: Tensor; readonly part: Part };
  readonly view: View;
}

export interface Lanes {
  readonly lanes: number;
  /**
   * So many points there are: lane l is at number l mod `points`, so that lanes at one point differ in their tangents
   * alone, as the columns of a Jacobian do. Each lane has its own when absent.
   */
  readonly points?: number;
  /** Leaves that carry a tangent, with the elements from one lane to the next of that tangent. */
  readonly seeds?: ReadonlyMap<Tensor, number>;
}

export interface PlacementOptions extends Lanes {
  readonly schedule: Schedule;
  readonly fusion: Fusion;
  /** The steps that write. */
  readonly steps: readonly Step[];
  readonly targets: ReadonlyMap<Tensor, Readonly<Partial<Record<Part, Target>>>>;
  /** Tensors whose values outlive the program; of them those that stand where each recording says, as leaves do. */
  readonly kept: ReadonlySet<Tensor>;
  readonly bound: ReadonlySet<Tensor>;
  /** Where another program left a tensor that this one borrows. */
  readonly borrow: (tensor: Tensor) => Place;
}

/** The memory of a program's values: each has its place from the step that writes it to the last that reads it. */
export class Placement {
  readonly #options: PlacementOptions;
  readonly #arena: Arena;
  readonly #hosts: ReadonlyMap<Tensor, { assembly: Tensor; offset: number }>;
  readonly #ends: ReadonlyMap<Step, readonly { tensor: Tensor; part: Part }[]>;
  readonly #places = new Map<Tensor, { primal?: Place; tangent?: Place }>();

  constructor(options: PlacementOptions, arena: Arena) {
    this.#options = options;
    this.#arena = arena;
    this.#hosts = hostsOf(options);
    this.#ends = this.#lifetimes();
  }

  /** Where a step writes: the caller's target, a piece of an assembly, or the arena. */
  home(tensor: Tensor, part: Part): Place {
    const known = this.#places.get(tensor);
    if (known?.[part] !== undefined) return known[part];
    const host = this.#hosts.get(tensor);
    const target = this.#options.targets.get(tensor)?.[part];
    let place: Place;
    if (host !== undefined) {
      const whole = this.home(host.assembly, part);
      place = { at: whole.at, view: { ...whole.view, offset: whole.view.offset + host.offset } };
    } else if (target !== undefined) {
      place = { at: target.block, view: { offset: 0, lane: target.lane } };
    } else {
      const { lane, bytes } = extentOf(tensor, part, this.#options);
      place = { at: this.#homeFor(tensor, part, bytes), view: this.#view(part, lane) };
    }
    this.#places.set(tensor, { ...known, [part]: place });
    return place;
  }

  #homeFor(tensor: Tensor, part: Part, bytes: number): Place["at"] {
    const { bound, kept } = this.#options;
    if (part === "primal" && bound.has(tensor)) return { leaf: tensor, part };
    return part === "primal" && kept.has(tensor) ? this.#arena.takeNew(bytes) : this.#arena.take(bytes);
  }

  /** Where a step reads. */
  find(tensor: Tensor, part: Part): Place {
    const { source } = tensor;
    if (source.kind === "view") {
      const { at, view } = this.find(source.base, part);
      return { at, view: { ...view, offset: view.offset + source.offset } };
    }
    if (source.kind === "leaf") {
      const lane = part === "tangent" ? (this.#options.seeds?.get(tensor) ?? 0) : source.lane;
      return { at: { leaf: tensor, part }, view: this.#view(part, lane) };
    }
    const place = this.#places.get(tensor)?.[part];
    if (place !== undefined) return place;
    if (part === "primal" && this.#options.schedule.borrowed.has(tensor)) {
      const { at, view } = this.#options.borrow(tensor);
      return { at, view: { ...this.#view(part, view.lane), offset: view.offset } };
    }
    throw new Error(`a ${part} is read that was not computed`);
  }

  /** The lanes that a view runs over. */
  lanesOf(view: View | undefined): number {
    return view !== undefined && view.lane > 0 ? (view.period ?? this.#options.lanes) : 1;
  }

  /** Gives back what no step after this one reads. */
  release(step: Step): void {
    for (const { tensor, part } of this.#ends.get(step) ?? []) {
      const place = this.#places.get(tensor)?.[part];
      if (place !== undefined && "bytes" in place.at) this.#arena.release(place.at);
    }
  }

  /** For each step, the values that no later step reads. */
  #lifetimes(): Map<Step, { tensor: Tensor; part: Part }[]> {
    const { fusion, steps, targets, kept } = this.#options;
    const owner = (tensor: Tensor): Tensor => {
      const host = this.#hosts.get(tensor);
      return host ? owner(host.assembly) : tensor;
    };
    const last = new Map<Tensor, { primal?: Step; tangent?: Step }>();
    const touch = (tensor: Tensor, part: Part, step: Step) => {
      const key = owner(tensor);
      last.set(key, { ...last.get(key), [part]: step });
    };
    for (const step of steps) {
      for (const { tensor, primal, tangent } of [
        { tensor: step.tensor, ...step.mode },
        ...fusion.readings(step),
      ]) {
        if (primal) touch(baseOf(tensor), "primal", step);
        if (tangent) touch(baseOf(tensor), "tangent", step);
      }
    }
    const ends = new Map<Step, { tensor: Tensor; part: Part }[]>();
    for (const [tensor, by] of last) {
      for (const part of ["primal", "tangent"] as const) {
        const step = by[part];
        if (step === undefined || targets.has(tensor) || (part === "primal" && kept.has(tensor))) continue;
        ends.set(step, [...(ends.get(step) ?? []), { tensor, part }]);
      }
    }
    return ends;
  }

  /** How the lanes see what stands `lane` elements apart from the start of its place on. */
  #view(part: Part, lane: number): View {
    const { points } = this.#options;
    return { offset: 0, lane, ...(part === "primal" && lane > 0 && { period: points }) };
  }
}

/** Elements from one lane of a computed value to the next, 0 where all share it, and bytes of all lanes. */
export function extentOf(tensor: Tensor, part: Part, lanes: Lanes): { lane: number; bytes: number } {
  const each = bytesOf(tensor.dtype);
  if (!isLaned(tensor, part, lanes)) return { lane: 0, bytes: each * tensor.size };
  const lane = Math.ceil(tensor.size / 4) * 4;
  const count = part === "primal" ? (lanes.points ?? lanes.lanes) : lanes.lanes;
  return { lane, bytes: each * lane * count };
}

/** Does a tensor, or its tangent, differ from lane to lane? */
function isLaned(tensor: Tensor, part: Part, { lanes, points = lanes, seeds }: Lanes): boolean {
  if ((part === "primal" ? points : lanes) === 1) return false;
  const stack = [tensor];
  const seen = new Set(stack);
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { source } = next;
    if ((source.kind === "leaf" && source.lane > 0) || (seeds?.get(next) ?? 0) > 0) return true;
    for (const parent of parents(next)) {
      if (!seen.has(parent)) stack.push(parent);
      seen.add(parent);
    }
  }
  return false;
}

/** Pieces that can be computed straight into the assembly that alone uses them. */
function hostsOf({
  schedule: { steps, borrowed },
  kept,
}: PlacementOptions): Map<Tensor, { assembly: Tensor; offset: number }> {
  const users = new Map<Tensor, number>();
  for (const { tensor } of steps) {
    for (const parent of parents(tensor)) users.set(baseOf(parent), (users.get(baseOf(parent)) ?? 0) + 1);
  }
  const computed = new Set(steps.map((step) => step.tensor));
  const hosts = new Map<Tensor, { assembly: Tensor; offset: number }>();
  for (const { tensor } of steps) {
    if (tensor.source.kind !== "assembly") continue;
    for (const piece of tensor.source.pieces) {
      const base = baseOf(piece.tensor);
      const alone = users.get(base) === 1 && base.size === piece.tensor.size && !kept.has(base);
      if (alone && computed.has(base) && !borrowed.has(base)) {
        hosts.set(base, { assembly: tensor, offset: piece.offset });
      }
    }
  }
  return hosts;
}
