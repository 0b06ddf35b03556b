import { asTheyStand } from "../../shaders/chain.ts";
import { fill as fillShader, stridedCopy } from "../../shaders/copy.ts";
import type { Epilogue } from "../../shaders/epilogue.ts";
import { linearGrid, type View } from "../../shaders/operand.ts";
import type { Prologue } from "../../shaders/prologue.ts";
import { reduceSerial } from "../../shaders/reduce.ts";
import type { RowOperation } from "../../shaders/rows.ts";
import type { AdapterTraits } from "../../shaders/variants.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Access, Grid } from "../gpu/dispatch.ts";
import { type Fusion, type HeldOperand, isFused } from "./fusion.ts";
import type { LeafHalf, Part, Place, Placement } from "./placement.ts";
import type { Step } from "./schedule.ts";
import { formatShape } from "./shape.ts";
import {
  bytesOf,
  constantValue,
  isPointwise,
  isSum,
  type KernelCode,
  type Operand,
  type Sums,
  storage,
  type Tensor,
} from "./tensor.ts";

export interface Slot {
  readonly binding: number;
  readonly access: Access;
  readonly at: Place["at"];
}

/** A kernel of a program: leaves are bound when it is recorded. */
export interface Kernel {
  readonly label: string;
  readonly code: string;
  readonly slots: readonly Slot[];
  readonly grid: Grid;
  readonly flops: number;
  readonly bytes: number;
  readonly shape: string;
}

export interface EmissionOptions {
  readonly adapter: AdapterTraits;
  readonly lanes: number;
  readonly fusion: Fusion;
  readonly placement: Placement;
  readonly arena: Arena;
  /** Tensors that carry a tangent. */
  readonly active: ReadonlySet<Tensor>;
}

/** Where a step writes its halves. */
export interface Homes {
  readonly primal: Place | undefined;
  readonly tangent: Place | undefined;
}

export interface Homed {
  readonly step: Step;
  readonly homes: Homes;
}

/** Steps that a kernel does beside its own, and behind it. */
export interface Carried {
  readonly companion?: Homed | undefined;
  readonly followers: readonly Homed[];
}

/** What follows in a kernel: on each element of its output, and on each row. */
interface Following {
  readonly after: Epilogue[];
  readonly rows: RowOperation[];
  readonly labels: string[];
  flops: number;
}

/** A step that has no kernel of its own. */
export interface Left extends Prologue, Pick<Kernel, "slots" | "flops" | "bytes" | "shape"> {
  readonly names: readonly string[];
}

/** What a kernel binds, and the bytes that it touches in all lanes. */
class Slots {
  readonly list: Slot[] = [];
  bytes = 0;
  readonly #lanes: number;

  constructor(lanes: number) {
    this.#lanes = lanes;
  }

  bind(binding: number, access: Access, { at, view }: Place, { size, dtype }: Tensor, parts = 1): View {
    this.list.push({ binding, access, at });
    this.bytes += bytesOf(dtype) * parts * size * (view.lane > 0 ? this.#lanes : 1);
    return { ...view, ...storage(dtype) };
  }
}

/** Steps turned into kernels over values that have their places. */
export class Emission {
  readonly kernels: Kernel[] = [];
  readonly #adapter: AdapterTraits;
  readonly #lanes: number;
  readonly #fusion: Fusion;
  readonly #placement: Placement;
  readonly #arena: Arena;
  readonly #active: ReadonlySet<Tensor>;

  constructor({ adapter, lanes, fusion, placement, arena, active }: EmissionOptions) {
    this.#adapter = adapter;
    this.#lanes = lanes;
    this.#fusion = fusion;
    this.#placement = placement;
    this.#arena = arena;
    this.#active = active;
  }

  get placement(): Placement {
    return this.#placement;
  }

  /** A step as the prologue of a taker, which has these halves of leaves at hand. */
  left(step: Step, held: ReadonlyMap<LeafHalf, string>): Left {
    const slots = new Slots(this.#lanes);
    const { chain, names, flops } = this.#fusion.chain(step, this.#operands(step, slots, held));
    const half = step.mode.tangent ? "tangent" : "primal";
    return { chain, half, names, flops, slots: slots.list, bytes: slots.bytes, shape: this.#shapeOf(step) };
  }

  /** What a kernel reads, bound to its slots unless it is held. */
  #operands(
    step: Step,
    slots: Slots,
    held: ReadonlyMap<LeafHalf, string> = new Map(),
    slot = 0,
  ): HeldOperand[] {
    return this.#fusion.readings(step).map(({ tensor, primal, tangent }, k) => {
      const { shape } = tensor;
      const literal = constantValue(tensor);
      if (literal !== undefined) return { shape, literal };
      const name = (part: Part) => [...held].find(([[leaf, half]]) => leaf === tensor && half === part)?.[1];
      const names = { value: name("primal"), tangent: name("tangent") };
      const read = (part: Part, binding: number) =>
        slots.bind(binding, "read", this.#placement.find(tensor, part), tensor);
      return {
        shape,
        primal: primal && names.value === undefined ? read("primal", 2 * (slot + k)) : undefined,
        tangent: tangent && names.tangent === undefined ? read("tangent", 2 * (slot + k) + 1) : undefined,
        held: names,
      };
    });
  }

  #shapeOf(step: Step): string {
    const shapes = this.#fusion.readings(step).map(({ tensor }) => formatShape(tensor.shape));
    return `${shapes.join(" ")} → ${formatShape(step.tensor.shape)}`;
  }

  /** The kernel of a step, and where it writes in parts the one that adds them up. */
  rule({ step, homes: { primal, tangent } }: Homed, { companion, followers }: Carried): void {
    const { tensor, mode } = step;
    if (tensor.source.kind !== "rule") throw new Error("only rules have kernels");
    const { rule } = tensor.source;
    const slots = new Slots(this.#lanes);
    const operands = this.#operands(step, slots);
    const places = [primal, tangent, ...followers.flatMap(({ homes }) => [homes.primal, homes.tangent])];
    const where = {
      adapter: this.#adapter,
      lanes: Math.max(...places.map((place) => this.#placement.lanesOf(place?.view))),
    };
    const parts = (isPointwise(rule) ? undefined : rule.parts?.(mode, where)) ?? 1;
    const inParts = (whole: Place | undefined): Place | undefined => {
      if (whole === undefined || parts === 1) return whole;
      const lanes = this.#placement.lanesOf(whole.view);
      const view = { ...whole.view, offset: 0, lane: lanes > 1 ? parts * tensor.size : 0 };
      return { at: this.#arena.take(4 * parts * tensor.size * lanes), view };
    };
    const written = { primal: inParts(primal), tangent: inParts(tangent) };
    const outSlot = (isFused(rule) ? undefined : rule.slots) ?? operands.length;
    const bound = bindOutput(step, written, outSlot, slots, parts);
    const sums = companion && bindSums(companion, written, outSlot + 1, slots);
    const { after, rows, labels, flops: more } = this.#following(step, followers, outSlot + 2, slots);
    const out = { ...bound, ...(after.length > 0 && { after }) };
    const call = { inputs: operands, out, sums, ...(rows.length > 0 && { rows }), ...where };
    const { name, code, grid, flops } = isFused(rule)
      ? this.#fusion.kernel(step, rule, call)
      : { name: rule.name, ...rule.kernel(call, mode) };
    this.kernels.push({
      label: `${name}${sums ? " and sum" : ""}${halfName(step)}${labels.map((label) => `, ${label}`).join("")}`,
      code,
      slots: slots.list,
      grid: inLanes(grid, where.lanes),
      flops: flops + more,
      bytes: slots.bytes,
      shape: `${this.#shapeOf(step)}${companion ? ` ${formatShape(companion.step.tensor.shape)}` : ""}`,
    });
    if (parts > 1) this.#addParts(tensor, parts, written, { primal, tangent });
    for (const { at } of parts > 1 ? [written.primal, written.tangent].filter((place) => !!place) : [])
      if ("bytes" in at) this.#arena.release(at);
  }

  /** What follows in the kernel of a step, whose output it has at hand; buffers from this slot on. */
  #following({ tensor, mode }: Step, followers: readonly Homed[], first: number, slots: Slots): Following {
    const found: Following = { after: [], rows: [], labels: [], flops: 0 };
    const { primal, tangent } = mode;
    const held = new Map<LeafHalf, string>([
      ...(primal ? [[[tensor, "primal"], "z"] as const] : []),
      ...(tangent ? [[[tensor, "tangent"], "d_z"] as const] : []),
    ]);
    let slot = first;
    for (const { step, homes } of followers) {
      const inputs = this.#operands(step, slots, held, slot);
      const out = bindOutput(step, homes, slot + inputs.length, slots);
      const place = { slot, prefix: `after${slot}_` };
      slot += inputs.length + 1;
      const { source } = step.tensor;
      if (source.kind !== "rule" || isSum(source.rule))
        throw new Error("sums and copies do not follow a kernel");
      if (isPointwise(source.rule)) {
        const { chain, names, flops } = this.#fusion.chain(step, inputs);
        found.after.push({ chain, out, ...place });
        found.labels.push(...names.map((name) => `${name}${halfName(step)}`));
        found.flops += flops;
        continue;
      }
      const { name, ofRows } = source.rule;
      const operation = ofRows?.({ inputs, out }, { ...place, held: { primal, tangent } });
      if (operation === undefined) throw new Error(`"${name}" does not follow a kernel`);
      found.rows.push(operation);
      found.labels.push(`${name}${halfName(step)}`);
      found.flops += operation.flops;
    }
    return found;
  }

  /** Adds up the parts of an output, in their order. */
  #addParts({ size: count, shape }: Tensor, parts: number, from: Homes, to: Homes): void {
    const slots: Slot[] = [];
    const bind = (binding: number, access: Access, place: Place | undefined): View | undefined => {
      if (place) slots.push({ binding, access, at: place.at });
      return place?.view;
    };
    const x = { primal: bind(0, "read", from.primal), tangent: bind(1, "read", from.tangent) };
    const y = { primal: bind(2, "overwrite", to.primal), tangent: bind(3, "overwrite", to.tangent) };
    const lanes = Math.max(this.#placement.lanesOf(y.primal), this.#placement.lanesOf(y.tangent));
    const halves = slots.length / 2;
    this.kernels.push({
      label: "sum of parts",
      code: reduceSerial({ outer: 1, reduced: parts, inner: count }, asTheyStand(x), y),
      slots,
      grid: linearGrid(count, lanes),
      flops: halves * parts * count,
      bytes: 4 * halves * (parts + 1) * count * lanes,
      shape: `${formatShape([parts, ...shape])} → ${formatShape(shape)}`,
    });
  }

  /** Copies in the pieces that could not be computed in place, and zeroes what no piece covers. */
  assemble({ step: { tensor }, homes: { primal, tangent } }: Homed): void {
    if (tensor.source.kind !== "assembly") return;
    const pieces = [...tensor.source.pieces].sort((a, b) => a.offset - b.offset);
    for (const [part, whole] of [
      ["primal", primal],
      ["tangent", tangent],
    ] as const) {
      if (whole === undefined) continue;
      let covered = 0;
      for (const { offset, tensor: piece } of pieces) {
        const value = part === "primal" ? constantValue(piece) : undefined;
        if (part === "tangent" && !this.#active.has(piece)) continue;
        this.fill(0, covered, offset - covered, whole);
        covered = offset + piece.size;
        if (value !== undefined) this.fill(value, offset, piece.size, whole);
        else this.#move(this.#placement.find(piece, part), offset, piece.size, whole);
      }
      this.fill(0, covered, tensor.size - covered, whole);
    }
  }

  fill(value: number, offset: number, count: number, whole: Place): void {
    if (count === 0) return;
    const view: View = { ...whole.view, offset: whole.view.offset + offset };
    this.kernels.push({
      label: "fill",
      code: fillShader(value, count, { primal: view }),
      slots: [{ binding: 0, access: "overwrite", at: whole.at }],
      grid: linearGrid(count, this.#placement.lanesOf(view)),
      flops: 0,
      bytes: 4 * count * this.#placement.lanesOf(view),
      shape: formatShape([count]),
    });
  }

  #move(from: Place, offset: number, count: number, whole: Place): void {
    if (from.at === whole.at) return;
    const view: View = { ...whole.view, offset: whole.view.offset + offset };
    this.kernels.push({
      label: "copy",
      code: stridedCopy(count, "i", "true", { primal: from.view }, { primal: view }),
      slots: [
        { binding: 0, access: "read", at: from.at },
        { binding: 2, access: "overwrite", at: whole.at },
      ],
      grid: linearGrid(count, this.#placement.lanesOf(view)),
      flops: 0,
      bytes: 8 * count * this.#placement.lanesOf(view),
      shape: formatShape([count]),
    });
  }
}

/** A half that is computed and has no home is held for what follows. */
function bindOutput({ tensor, mode }: Step, homes: Homes, slot: number, slots: Slots, parts = 1): Operand {
  const bind = (half: Part, binding: number): View | undefined => {
    const home = homes[half];
    if (home) return slots.bind(binding, "overwrite", home, tensor, parts);
    return mode[half] ? { offset: 0, lane: 0, isHeld: true } : undefined;
  };
  return {
    shape: tensor.shape,
    primal: bind("primal", 2 * slot),
    tangent: bind("tangent", 2 * slot + 1),
  };
}

const halfName = ({ mode: { primal, tangent } }: Step): string =>
  primal ? (tangent ? " dual" : "") : " tangent";

/** The sums that a kernel writes beside its output; a buffer that holds both is bound once, as it is written. */
function bindSums({ step: { tensor }, homes }: Homed, output: Homes, slot: number, slots: Slots): Sums {
  const bind = (binding: number, half: Part) => {
    const place = homes[half];
    if (place === undefined) return undefined;
    const inFirst = place.at === output[half]?.at;
    const view = inFirst ? place.view : slots.bind(binding, "overwrite", place, tensor);
    return { ...view, inFirst };
  };
  return { primal: bind(2 * slot, "primal"), tangent: bind(2 * slot + 1, "tangent") };
}

/** A kernel's grid over lanes. */
function inLanes(grid: KernelCode["grid"], lanes: number): Grid {
  return "elements" in grid ? linearGrid(grid.elements, lanes) : [...grid, lanes];
}
