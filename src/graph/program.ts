import { behind } from "../../shaders/prologue.ts";
import type { AdapterTraits } from "../../shaders/variants.ts";
import type { Arena } from "../gpu/arena.ts";
import type { Resource } from "../gpu/block.ts";
import type { Binding, Entry, Sequence } from "../gpu/dispatch.ts";
import { formatBytes } from "../gpu/memory.ts";
import { type BoundPrologue, readingOf } from "./bound_prologue.ts";
import { withCompanions } from "./companions.ts";
import { Emission, type Homed, type Homes, type Left } from "./emission.ts";
import { type Following, withFollowers } from "./followers.ts";
import { buffers, Fusion, MOST_BUFFERS } from "./fusion.ts";
import {
  extentOf,
  type Lanes,
  type LeafHalf,
  type Part,
  type Place,
  Placement,
  type Target,
} from "./placement.ts";
import { type Schedule, type Step, schedule } from "./schedule.ts";
import { size } from "./shape.ts";
import { assembly, baseOf, isPointwise, parents, type Tensor } from "./tensor.ts";

export interface Output {
  readonly tensor: Tensor;
  readonly primal?: Target;
  readonly tangent?: Target;
  /** The kernel that takes its elements, the program's last elementwise steps as its prologue: then nothing is written. */
  readonly taker?: Taker | undefined;
}

/** A kernel behind a program. */
export interface Taker {
  /** Storage buffers that it binds, beside those of the prologue. */
  readonly buffers: number;
  /** Leaves of whose elements it has a half at hand. */
  readonly holds?: readonly LeafHalf[];
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

/** Buffers for the leaves and for values that `keep` names; those of tangents for the seeds. */
export interface LeafBindings {
  readonly primal: ReadonlyMap<Tensor, Resource>;
  readonly tangent?: ReadonlyMap<Tensor, Resource>;
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
  /** The sums that kernels of other steps write, by those steps. */
  readonly #companions: ReadonlyMap<Step, Step>;
  /** What kernels do with their output besides writing it. */
  readonly #followers: ReadonlyMap<Step, Following>;
  readonly #options: ProgramOptions;
  /** Every output is an assembly of one piece, so that constants, leaves and views find their way to the target. */
  readonly #roots: ReadonlyMap<Tensor, Output>;
  readonly #keep: Set<Tensor>;
  /** Of the kept values, those that stand where each recording says. */
  readonly #bound = new Set<Tensor>();
  /** Of the outputs that are left to their takers, the last step. */
  readonly #open = new Map<Tensor, Step>();
  #emission: Emission | undefined;
  readonly #left = new Map<Step, Map<string, Left>>();

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
    const left = new Set<Tensor>();
    for (const [root, { tensor, taker }] of this.#roots) {
      const step = taker && this.#openStep(tensor, root, taker);
      if (step === undefined) continue;
      this.#open.set(tensor, step);
      left.add(tensor).add(root);
    }
    const own = this.schedule.steps.filter(({ tensor }) => !this.#fusion.has(tensor) && !left.has(tensor));
    const { steps, companions } = withCompanions(own, this.#fusion, options.adapter);
    this.#companions = companions;
    ({ steps: this.#steps, followers: this.#followers } = withFollowers(steps, {
      ...options,
      ...{ fusion: this.#fusion, companions, open: [...this.#open.values()] },
    }));
    for (const tensor of this.schedule.borrowed) this.#lender(tensor).#keep.add(tensor);
  }

  /** Tensors whose values this program writes to memory. */
  *computed(): Generator<Tensor> {
    for (const { tensor, mode } of this.#steps) if (mode.primal) yield tensor;
  }

  /** The values here that a program which comes after reads. */
  lent(to: Program): Tensor[] {
    return [...this.computed()].filter((tensor) => to.schedule.borrowed.has(tensor));
  }

  /** From now on each recording says where these values stand, as for leaves. @returns the bytes of each */
  keep(values: readonly Tensor[]): number[] {
    return values.map((tensor) => {
      this.#bound.add(tensor);
      return extentOf(tensor, "primal", this.#options).bytes;
    });
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

  /** The step of an output, if it is elementwise, fits its taker, and nothing else reads what it computes. */
  #openStep(output: Tensor, root: Tensor, { buffers: taken, holds = [] }: Taker): Step | undefined {
    const { steps, borrowed } = this.schedule;
    const { source } = output;
    const step = steps.find(({ tensor }) => tensor === output);
    if (step === undefined || source.kind !== "rule" || !isPointwise(source.rule)) return undefined;
    if (borrowed.has(output) || this.#keep.has(output)) return undefined;
    const readers = steps.filter(({ tensor }) => parents(tensor).some((parent) => baseOf(parent) === output));
    if (readers.some(({ tensor }) => tensor !== root)) return undefined;
    const isHeld = (tensor: Tensor, part: Part) =>
      holds.some(([leaf, half]) => leaf === tensor && half === part);
    const readings = this.#fusion.readings(step);
    // The taker may write what it holds: no other elements of it are to be read there.
    const clashes = readings.some((reading) =>
      holds.some(
        ([leaf, half]) => reading.tensor !== leaf && baseOf(reading.tensor) === leaf && reading[half],
      ),
    );
    if (clashes) return undefined;
    const bound = readings.map(({ tensor, primal, tangent }) => ({
      primal: primal && !isHeld(tensor, "primal"),
      tangent: tangent && !isHeld(tensor, "tangent"),
    }));
    return taken + buffers(bound) > MOST_BUFFERS ? undefined : step;
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
        steps: [...this.#steps, ...this.#open.values()],
        targets: this.#roots,
        kept: this.#keep,
        bound: this.#bound,
        borrow: (tensor) => this.#lender(tensor).#emitted.placement.find(tensor, "primal"),
      },
      arena,
    );
    const emission = new Emission({
      ...this.#options,
      ...{ fusion: this.#fusion, placement, arena, active: this.schedule.active },
    });
    this.#emission = emission;
    const carried = new Set([
      ...this.#companions.values(),
      ...[...this.#followers.values()].flatMap((following) => following.steps),
    ]);
    const homes = (step: Step): Homes => {
      const { primal, tangent } = this.#written(step);
      return {
        primal: primal ? placement.home(step.tensor, "primal") : undefined,
        tangent: tangent ? placement.home(step.tensor, "tangent") : undefined,
      };
    };
    const home = (step: Step): Homed => ({ step, homes: homes(step) });
    for (const step of this.#steps) {
      if (carried.has(step)) continue;
      const companion = this.#companions.get(step);
      const followers = this.#followers.get(step)?.steps ?? [];
      if (step.tensor.source.kind === "assembly") emission.assemble(home(step));
      else
        emission.rule(home(step), {
          companion: companion && home(companion),
          followers: followers.map(home),
        });
      for (const done of [...(companion ? [companion] : []), step, ...followers]) placement.release(done);
    }
    // Their readings stay until nothing more of this program is placed: takers come before the next one.
    for (const step of this.#open.values()) placement.release(step);
    for (const [root, { tangent }] of this.#roots) {
      if (tangent === undefined || this.isActive(root)) continue;
      emission.fill(0, 0, root.size, { at: tangent.block, view: { offset: 0, lane: tangent.lane } });
    }
  }

  /** The halves that a step writes. */
  #written(step: Step): { readonly primal: boolean; readonly tangent: boolean } {
    const { readElsewhere } = this.#followers.get(step) ?? {};
    if (readElsewhere === undefined) return step.mode;
    const { primal, tangent } = readElsewhere;
    return { primal: primal || (step.mode.primal && this.#keep.has(step.tensor)), tangent };
  }

  get #emitted(): Emission {
    if (this.#emission === undefined) throw new Error(`"${this.name}" has no place in memory yet`);
    return this.#emission;
  }

  /** Appends the kernels to a sequence, with these buffers for the leaves; `place` may come later. */
  record(sequence: Sequence, leaves: LeafBindings): void {
    sequence.add(() =>
      this.#emitted.kernels.map(({ slots, ...dispatch }) => ({
        ...dispatch,
        bindings: slots.map(({ binding, access, at }): Binding => {
          return { binding, access, resource: resourceOf(at, leaves) };
        }),
      })),
    );
  }

  /**
   * How the kernel right behind the program comes by the elements of an output; to be asked for when all is placed.
   * `held`: WGSL of the halves that it has at hand.
   */
  prologue(
    output: Tensor,
    leaves: LeafBindings,
    held: ReadonlyMap<LeafHalf, string> = new Map(),
  ): BoundPrologue {
    const { lanes } = this.#options;
    const step = this.#open.get(output);
    if (step === undefined) {
      const written = [...this.#roots.values()].find(({ tensor }) => tensor === output);
      const target = written?.primal ?? written?.tangent;
      if (target === undefined)
        throw new Error(`"${this.name}" was not asked for the output that is to be taken`);
      const { block, lane } = target;
      return readingOf({ block }, { view: { offset: 0, lane }, count: output.size, lanes });
    }
    const { slots, ...left } = this.#leftOf(step, held);
    const bound: Entry[] = Array.from({ length: behind(left) }, () => undefined);
    for (const { binding, access, at } of slots) bound[binding] = [access, resourceOf(at, leaves)];
    return { ...left, bound };
  }

  /** A step is taken in every inner step, with other leaves alone. */
  #leftOf(step: Step, held: ReadonlyMap<LeafHalf, string>): Left {
    const key = JSON.stringify([...held].map(([[, part], name]) => [part, name]));
    const known = this.#left.get(step) ?? new Map<string, Left>();
    this.#left.set(step, known);
    const left = known.get(key) ?? this.#emitted.left(step, held);
    known.set(key, left);
    return left;
  }

  /** The kernels as a table: name, shape, floating-point operations, bytes touched. */
  explain(): string {
    const { kernels } = this.#emitted;
    const left = [...this.#open.values()].map((step) => {
      const { names, ...rest } = this.#leftOf(step, new Map());
      return { ...rest, label: `for the kernel behind: ${names.join(", ")}` };
    });
    const rows = [...kernels, ...left].map(({ label, shape, flops, bytes }) => [
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
    return [`${this.name}: ${kernels.length} kernel${kernels.length === 1 ? "" : "s"}`, ...lines].join("\n");
  }
}

/** What a place is, with these buffers for the leaves. */
function resourceOf(at: Place["at"], leaves: LeafBindings): Resource {
  if ("bytes" in at) return { block: at };
  const { leaf, part } = at;
  const resource = leaves[part]?.get(leaf);
  if (resource === undefined) {
    const name = leaf.source.kind === "leaf" ? leaf.source.name : "";
    throw new Error(`no buffer is bound to the ${part} of "${name}" (${size(leaf.shape)} elements)`);
  }
  return resource;
}
