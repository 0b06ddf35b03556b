import type { Chain } from "../../shaders/chain.ts";
import { fill as fillShader, stridedCopy } from "../../shaders/copy.ts";
import { linearGrid, type View } from "../../shaders/operand.ts";
import { reduceSerial } from "../../shaders/reduce.ts";
import type { AdapterTraits } from "../../shaders/variants.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Resource } from "../gpu/block.ts";
import { type Access, type Binding, type Grid, lanesOf, type Sequence } from "../gpu/dispatch.ts";
import { formatBytes } from "../gpu/memory.ts";
import { Fusion, isFused } from "./fusion.ts";
import { type Lanes, type Part, type Place, Placement, type Target } from "./placement.ts";
import { type Schedule, type Step, schedule } from "./schedule.ts";
import { formatShape, size } from "./shape.ts";
import {
  assembly,
  baseOf,
  constantValue,
  isPointwise,
  type KernelCode,
  type Operand,
  parents,
  type Tensor,
} from "./tensor.ts";

export interface Output {
  readonly tensor: Tensor;
  readonly primal?: Target;
  readonly tangent?: Target;
}

export interface ProgramOptions extends Lanes {
  readonly name: string;
  readonly outputs: readonly Output[];
  /** Programs that ran before and whose values are still valid: what is in memory is not computed again. */
  readonly after?: readonly Program[];
  /** Values to compute and leave in memory for programs that come after. */
  readonly keep?: readonly Tensor[];
  readonly adapter: AdapterTraits;
}

/** Buffers for the leaves; those of tangents for the seeds. */
export interface LeafBindings {
  readonly primal: ReadonlyMap<Tensor, Resource>;
  readonly tangent?: ReadonlyMap<Tensor, Resource>;
}

interface Slot {
  readonly binding: number;
  readonly access: Access;
  readonly at: Place["at"];
}

interface Kernel {
  readonly label: string;
  readonly code: string;
  readonly slots: readonly Slot[];
  readonly grid: Grid;
  readonly flops: number;
  readonly bytes: number;
  readonly shape: string;
}

/**
 * The kernels that compute a request, with the memory they use between them. Made in two moves: constructed (which
 * settles what runs), then placed in an arena; then it may be recorded any number of times, on different leaves.
 */
export class Program {
  readonly name: string;
  readonly schedule: Schedule;
  readonly #fusion: Fusion;
  /** The steps that have a kernel of their own, or copy. */
  readonly #steps: readonly Step[];
  readonly #options: ProgramOptions;
  /** Every output is an assembly of one piece, so that constants, leaves and views find their way to the target. */
  readonly #roots: ReadonlyMap<Tensor, Output>;
  readonly #keep: Set<Tensor>;
  #placement: Placement | undefined;
  readonly #kernels: Kernel[] = [];

  constructor(options: ProgramOptions) {
    this.name = options.name;
    this.#options = options;
    this.#keep = new Set(options.keep);
    this.#roots = new Map(
      options.outputs.map((output) => {
        const { tensor } = output;
        return [assembly(tensor.size, [{ offset: 0, tensor }]), output];
      }),
    );
    const roots = (part: Part) => [...this.#roots].filter(([, output]) => output[part]).map(([root]) => root);
    this.schedule = schedule({
      primal: [...roots("primal"), ...this.#keep],
      tangent: roots("tangent"),
      seeds: new Set(options.seeds?.keys()),
      available: new Set(options.after?.flatMap((program) => [...program.computed()])),
    });
    this.#fusion = new Fusion(this.schedule, this.#keep);
    this.#steps = this.schedule.steps.filter(({ tensor }) => !this.#fusion.has(tensor));
    for (const tensor of this.schedule.borrowed) this.#lender(tensor).#keep.add(tensor);
  }

  /** Tensors whose values this program writes to memory. */
  *computed(): Generator<Tensor> {
    for (const { tensor, mode } of this.#steps) if (mode.primal) yield tensor;
  }

  /** Does the tangent of an output depend on the seeds at all? If not, it is zero. */
  isActive(tensor: Tensor): boolean {
    return this.schedule.active.has(tensor);
  }

  /** Do the kernels read the values of this leaf? */
  reads(leaf: Tensor): boolean {
    return this.schedule.steps.some(({ tensor, reads }) =>
      parents(tensor).some((parent, k) => reads[k] && baseOf(parent) === leaf),
    );
  }

  #lender(tensor: Tensor): Program {
    for (const program of this.#options.after ?? []) {
      for (const computed of program.computed()) if (computed === tensor) return program;
    }
    throw new Error(`no program before "${this.name}" computes the borrowed tensor`);
  }

  /** Gives every value its memory and fixes the kernels. What the next programs may reuse goes back to the arena. */
  place(arena: Arena): void {
    const placement = new Placement(
      {
        ...this.#options,
        schedule: this.schedule,
        fusion: this.#fusion,
        steps: this.#steps,
        targets: this.#roots,
        kept: this.#keep,
        borrow: (tensor) => this.#lender(tensor).#placed.find(tensor, "primal"),
      },
      arena,
    );
    this.#placement = placement;
    for (const step of this.#steps) {
      const home = (part: Part) => (step.mode[part] ? placement.home(step.tensor, part) : undefined);
      const [primal, tangent] = [home("primal"), home("tangent")];
      if (step.tensor.source.kind === "assembly") this.#assemble(step, primal, tangent);
      else this.#emit(step, primal, tangent, arena);
      placement.release(step);
    }
    for (const [root, { tangent }] of this.#roots) {
      if (tangent === undefined || this.isActive(root)) continue;
      this.#fill(0, 0, root.size, { at: tangent.block, view: { offset: 0, lane: tangent.lane } });
    }
  }

  get #placed(): Placement {
    if (this.#placement === undefined) throw new Error(`"${this.name}" has no place in memory yet`);
    return this.#placement;
  }

  /** Appends the kernels to a sequence, with these buffers for the leaves; `place` may come later. */
  record(sequence: Sequence, leaves: LeafBindings): void {
    sequence.add(() =>
      this.#kernels.map(({ slots, ...dispatch }) => ({
        ...dispatch,
        bindings: slots.map(({ binding, access, at }): Binding => {
          const resource = "bytes" in at ? { block: at } : leafResource(at.leaf, at.part, leaves);
          return { binding, access, resource };
        }),
      })),
    );
  }

  /** The kernels as a table: name, shape, floating-point operations, bytes touched. */
  explain(): string {
    const rows = this.#kernels.map(({ label, shape, flops, bytes }) => [
      label,
      shape,
      `${(flops / 1e6).toFixed(3)} MFLOP`,
      formatBytes(bytes),
    ]);
    const widths = [0, 1, 2, 3].map((column) => Math.max(0, ...rows.map((row) => row[column]!.length)));
    const lines = rows.map(
      (row) =>
        `  ${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join("  ")
          .trimEnd()}`,
    );
    return [`${this.name}: ${rows.length} kernel${rows.length === 1 ? "" : "s"}`, ...lines].join("\n");
  }

  get flops(): number {
    return this.#kernels.reduce((sum, kernel) => sum + kernel.flops * lanesOf(kernel.grid), 0);
  }

  /** The kernel of a step, and where it writes in parts the one that adds them up. */
  #emit(step: Step, primal: Place | undefined, tangent: Place | undefined, arena: Arena): void {
    const { tensor, mode } = step;
    if (tensor.source.kind !== "rule") throw new Error("only rules have kernels");
    const { rule } = tensor.source;
    const slots: Slot[] = [];
    let bytes = 0;
    const bind = (binding: number, access: Access, place: Place, elements: number): View => {
      slots.push({ binding, access, at: place.at });
      bytes += 4 * elements * (place.view.lane > 0 ? this.#options.lanes : 1);
      return place.view;
    };
    const readings = this.#fusion.readings(step);
    const operands = readings.map(({ tensor, primal, tangent }, k): Operand => {
      const literal = constantValue(tensor);
      if (literal !== undefined) return { shape: tensor.shape, literal };
      return {
        shape: tensor.shape,
        primal: primal ? bind(2 * k, "read", this.#placed.find(tensor, "primal"), tensor.size) : undefined,
        tangent: tangent
          ? bind(2 * k + 1, "read", this.#placed.find(tensor, "tangent"), tensor.size)
          : undefined,
      };
    });
    const where = {
      adapter: this.#options.adapter,
      lanes: Math.max(this.#placed.lanesOf(primal?.view), this.#placed.lanesOf(tangent?.view)),
    };
    const parts = (isPointwise(rule) ? undefined : rule.parts?.(mode, where)) ?? 1;
    const inParts = (whole: Place | undefined): Place | undefined => {
      if (whole === undefined || parts === 1) return whole;
      const lanes = this.#placed.lanesOf(whole.view);
      const view = { ...whole.view, offset: 0, lane: lanes > 1 ? parts * tensor.size : 0 };
      return { at: arena.take(4 * parts * tensor.size * lanes), view };
    };
    const written = { primal: inParts(primal), tangent: inParts(tangent) };
    const outSlot = (isFused(rule) ? undefined : rule.slots) ?? readings.length;
    const out: Operand = {
      shape: tensor.shape,
      primal: written.primal && bind(2 * outSlot, "overwrite", written.primal, parts * tensor.size),
      tangent: written.tangent && bind(2 * outSlot + 1, "overwrite", written.tangent, parts * tensor.size),
    };
    const { name, code, grid, flops } = isFused(rule)
      ? this.#fusion.kernel(step, rule, { inputs: operands, out, ...where })
      : { name: rule.name, ...rule.kernel({ inputs: operands, out, ...where }, mode) };
    const shapes = readings.map(({ tensor }) => formatShape(tensor.shape)).join(" ");
    const part = mode.primal ? (mode.tangent ? " dual" : "") : " tangent";
    this.#kernels.push({
      label: `${name}${part}`,
      code,
      slots,
      grid: inLanes(grid, where.lanes),
      flops,
      bytes,
      shape: `${shapes} → ${formatShape(tensor.shape)}`,
    });
    if (parts > 1) this.#addParts(tensor, parts, written, { primal, tangent });
    for (const { at } of parts > 1 ? [written.primal, written.tangent].filter((place) => !!place) : [])
      if ("bytes" in at) arena.release(at);
  }

  /** Adds up the parts of an output, in their order. */
  #addParts(
    { size: count, shape }: Tensor,
    parts: number,
    from: { primal: Place | undefined; tangent: Place | undefined },
    to: { primal: Place | undefined; tangent: Place | undefined },
  ): void {
    const slots: Slot[] = [];
    const bind = (binding: number, access: Access, place: Place | undefined): View | undefined => {
      if (place) slots.push({ binding, access, at: place.at });
      return place?.view;
    };
    const x = { primal: bind(0, "read", from.primal), tangent: bind(1, "read", from.tangent) };
    const chain: Chain = { leaves: [{ ...x, index: (i) => i, run: 0 }], operations: [] };
    const y = { primal: bind(2, "overwrite", to.primal), tangent: bind(3, "overwrite", to.tangent) };
    const lanes = Math.max(this.#placed.lanesOf(y.primal), this.#placed.lanesOf(y.tangent));
    const halves = slots.length / 2;
    this.#kernels.push({
      label: "sum of parts",
      code: reduceSerial({ outer: 1, reduced: parts, inner: count }, chain, y),
      slots,
      grid: linearGrid(count, lanes),
      flops: halves * parts * count,
      bytes: 4 * halves * (parts + 1) * count * lanes,
      shape: `${formatShape([parts, ...shape])} → ${formatShape(shape)}`,
    });
  }

  /** Copies in the pieces that could not be computed in place, and zeroes what no piece covers. */
  #assemble({ tensor }: Step, primal: Place | undefined, tangent: Place | undefined): void {
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
        if (part === "tangent" && !this.schedule.active.has(piece)) continue;
        this.#fill(0, covered, offset - covered, whole);
        covered = offset + piece.size;
        if (value !== undefined) this.#fill(value, offset, piece.size, whole);
        else this.#move(this.#placed.find(piece, part), offset, piece.size, whole);
      }
      this.#fill(0, covered, tensor.size - covered, whole);
    }
  }

  #fill(value: number, offset: number, count: number, whole: Place): void {
    if (count === 0) return;
    const view: View = { ...whole.view, offset: whole.view.offset + offset };
    this.#kernels.push({
      label: "fill",
      code: fillShader(value, count, { primal: view }),
      slots: [{ binding: 0, access: "overwrite", at: whole.at }],
      grid: linearGrid(count, this.#placed.lanesOf(view)),
      flops: 0,
      bytes: 4 * count * this.#placed.lanesOf(view),
      shape: formatShape([count]),
    });
  }

  #move(from: Place, offset: number, count: number, whole: Place): void {
    if (from.at === whole.at) return;
    const view: View = { ...whole.view, offset: whole.view.offset + offset };
    this.#kernels.push({
      label: "copy",
      code: stridedCopy(count, "i", "true", { primal: from.view }, { primal: view }),
      slots: [
        { binding: 0, access: "read", at: from.at },
        { binding: 2, access: "overwrite", at: whole.at },
      ],
      grid: linearGrid(count, this.#placed.lanesOf(view)),
      flops: 0,
      bytes: 8 * count * this.#placed.lanesOf(view),
      shape: formatShape([count]),
    });
  }
}

/** A kernel's grid over lanes. */
function inLanes(grid: KernelCode["grid"], lanes: number): Grid {
  return "elements" in grid ? linearGrid(grid.elements, lanes) : [...grid, lanes];
}

function leafResource(leaf: Tensor, part: Part, leaves: LeafBindings): Resource {
  const resource = leaves[part]?.get(leaf);
  if (resource === undefined) {
    const name = leaf.source.kind === "leaf" ? leaf.source.name : "";
    throw new Error(`no buffer is bound to the ${part} of "${name}" (${size(leaf.shape)} elements)`);
  }
  return resource;
}
