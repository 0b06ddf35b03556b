import { LOSS_LANE } from "../../shaders/outer_step.ts";
import { Arena } from "../gpu/arena.ts";
import { Block, type Resource } from "../gpu/block.ts";
import type { Sequence } from "../gpu/dispatch.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { LeafHalf } from "../graph/placement.ts";
import { type LeafBindings, type Output, Program, type ProgramOptions } from "../graph/program.ts";
import { invariants, schedule } from "../graph/schedule.ts";
import type { Tensor } from "../graph/tensor.ts";
import { Activations } from "./activations.ts";
import type { Columns } from "./columns.ts";
import type { Problem, TracedLevel } from "./problem.ts";
import type { Supply } from "./supply.ts";
import { ACCUMULATE_BUFFERS, type Vectors } from "./vectors.ts";

/**
 * Is half of a Hessian product wanted, and is it to stand in its vector? An open one is not written: what takes it, before
 * any other program runs, does its last elementwise steps itself.
 */
export type Half = boolean | "open";

/** What a Hessian product is asked for: the half in w, H_ww r, the half in α, H_αw r, or both. */
export interface ProductHalves {
  readonly parameters: Half;
  readonly hyper: Half;
}

/** What left the activations in memory that a product finds there. */
export type Behind = "gradient" | "step";

/** The halves of a product, for the kernels that take them. */
export interface Products {
  readonly parameters: Supply;
  readonly hyper: Supply;
}

/** A point of the inner loop: the step t, whose batch is taken, and where w is. */
export interface Point {
  readonly t: number;
  readonly w: Resource;
}

type UnplacedProgram = Omit<ProgramOptions, "name" | "lanes" | "adapter"> & { readonly lanes?: number };

/**
 * The programs of a problem's two losses, each made when it is first recorded, between the vectors of an unroll. What
 * depends on α and data alone is computed once, by the prelude.
 */
export class Programs {
  /** E of each lane, `LOSS_LANE` elements apart. */
  readonly outerLoss: Block;
  readonly #problem: Problem;
  readonly #vectors: Vectors;
  readonly #gpu: Gpu;
  readonly #made = new Map<string, Program>();
  readonly #prelude: Program;
  #activations: Activations | undefined;

  constructor(problem: Problem, vectors: Vectors, gpu: Gpu) {
    this.#problem = problem;
    this.#vectors = vectors;
    this.#gpu = gpu;
    this.outerLoss = new Block("E", "bookkeeping", 4 * LOSS_LANE * problem.lanes);
    this.#prelude = this.#program("once an outer step", () => ({ outputs: [], keep: this.#invariants() }));
  }

  /** Settles where everything is in memory; called once, when all is recorded. */
  finish(): void {
    const arena = new Arena("activations");
    for (const program of this.#made.values()) program.place(arena);
  }

  /** The programs, as tables. */
  explain(): string {
    return [...this.#made.values()].map((program) => program.explain()).join("\n");
  }

  /** What serves all inner steps; goes before everything else. */
  prelude(sequence: Sequence, point: Point): void {
    this.#prelude.record(sequence, this.#leaves(point));
  }

  /** ∇_w L; its activations stay in memory for products behind the "gradient". */
  innerGradient(sequence: Sequence, point: Point): void {
    this.#behind("gradient").record(sequence, this.#leaves(point));
  }

  /** The same, left open for the inner step; its activations stay in memory for products behind the "step". */
  openGradient(sequence: Sequence, point: Point): Supply {
    return this.#openTo(sequence, this.#behind("step"), this.#leaves(point));
  }

  /** What products of these halves read of inner gradients is kept, for so many steps. */
  keepActivations(halves: ProductHalves, slots: number): void {
    const gradient = this.#innerGradient({ open: true, kept: true });
    const limit = this.#gpu.device.limits.maxBufferSize;
    this.#activations = new Activations(gradient, this.#frozen(halves, gradient), { slots, limit });
  }

  /** An open inner gradient that keeps its activations for `keptProduct`. */
  keptGradient(sequence: Sequence, point: Point): Supply {
    return this.#openTo(sequence, this.#kept.gradient, this.#keptLeaves(point));
  }

  /** (H_ww x, H_αw x) of a step whose activations were kept: tangents alone. */
  keptProduct(sequence: Sequence, point: Point, x: Block, halves: ProductHalves): Products {
    const program = this.#frozen(halves, this.#kept.gradient);
    this.#kept.assertCovers(program);
    return this.#multiply(program, sequence, this.#keptLeaves(point, x));
  }

  /** p ← ∇_w E */
  outerGradient(sequence: Sequence, point: Point): void {
    const { parameters } = this.#problem.outer.traced;
    const program = this.#program("outer gradient", () => ({
      outputs: [{ tensor: parameters, primal: this.#wVector(this.#vectors.adjoint) }],
      after: [this.#prelude],
    }));
    program.record(sequence, this.#leaves(point));
  }

  /** E, with `gradient` also p ← ∇_w E, and ∇_α E into h ("set") or aside ("hold"). */
  outerValue(
    sequence: Sequence,
    point: Point,
    { gradient, direct }: { gradient: boolean; direct: "set" | "hold" },
  ): void {
    const { value, parameters, hyper, dependsOn } = this.#problem.outer.traced;
    const { adjoint, hypergradient, direct: held } = this.#vectors;
    const program = this.#program("outer loss", () => ({
      outputs: [
        { tensor: value, primal: { block: this.outerLoss, lane: LOSS_LANE } },
        ...(gradient ? [{ tensor: parameters, primal: this.#wVector(adjoint) }] : []),
        ...(direct === "set" ? [{ tensor: hyper, primal: this.#aVector(hypergradient) }] : []),
        ...(direct === "hold" && dependsOn.hyper ? [{ tensor: hyper, primal: this.#aVector(held) }] : []),
      ],
      after: [this.#prelude],
    }));
    program.record(sequence, this.#leaves(point));
  }

  /** (H_ww x, H_αw x) */
  product(sequence: Sequence, point: Point, x: Block, halves: ProductHalves): Products {
    const options = () => ({ ...this.#product(halves), after: [this.#prelude] });
    const program = this.#program(`product ${nameOf(halves)}`, options, { halves });
    return this.#multiply(program, sequence, this.#leaves(point, x));
  }

  /** The same where the last inner gradient, or inner step, ran: tangents alone, as all values are in memory. */
  frozenProduct(sequence: Sequence, point: Point, x: Block, halves: ProductHalves, behind: Behind): Products {
    const program = this.#frozen(halves, this.#behind(behind));
    return this.#multiply(program, sequence, this.#leaves(point, x));
  }

  /** Does a product that finds the activations of a step in memory read w itself beside? */
  readsState(halves: ProductHalves): boolean {
    const step = this.#activations?.gradient ?? this.#behind("step");
    return this.#frozen(halves, step).reads(this.#problem.leaves.parameters);
  }

  /** H_ww ẇ + H_wα α̇ of all columns, where the last inner gradient, or inner step, ran. */
  columnProducts(sequence: Sequence, point: Point, columns: Columns, behind: Behind): void {
    const { leaves, inner } = this.#problem;
    const { parameters, hyper, gradient, count, lane } = columns;
    const lender = this.#behind(behind);
    const options = () => ({
      outputs: [{ tensor: inner.traced.parameters, tangent: { block: gradient, lane: lane.w } }],
      seeds: new Map([[leaves.parameters, lane.w], ...(hyper ? [[leaves.hyper, lane.a] as const] : [])]),
      after: [this.#prelude, lender],
      lanes: count * this.#problem.lanes,
      points: this.#problem.lanes,
    });
    const program = this.#program(`products of ${count} columns`, options, { after: lender.name });
    const tangent = new Map([
      [leaves.parameters, { block: parameters }],
      ...(hyper ? [[leaves.hyper, { block: hyper }] as const] : []),
    ]);
    program.record(sequence, { ...this.#leaves(point), tangent });
  }

  get #kept(): Activations {
    if (this.#activations === undefined) throw new Error("no activations are kept");
    return this.#activations;
  }

  #behind(what: Behind): Program {
    return this.#innerGradient({ open: what === "step" });
  }

  #innerGradient({ open, kept = false }: { open: boolean; kept?: boolean }): Program {
    const { gradient, optimizer } = this.#vectors;
    const name = `inner gradient${open ? "" : ", written"}${kept ? ", activations kept" : ""}`;
    return this.#program(name, () => ({
      outputs: [
        {
          tensor: this.#problem.inner.traced.parameters,
          primal: this.#wVector(gradient),
          taker: open ? { buffers: optimizer.buffers.step, holds: [this.#w] } : undefined,
        },
      ],
      after: [this.#prelude],
    }));
  }

  #frozen(halves: ProductHalves, gradient: Program): Program {
    const options = () => ({ ...this.#product(halves), after: [this.#prelude, gradient] });
    return this.#program(`frozen product ${nameOf(halves)}`, options, { halves, after: gradient.name });
  }

  #product({ parameters, hyper }: ProductHalves): Pick<ProgramOptions, "outputs" | "seeds"> {
    const { traced } = this.#problem.inner;
    const { curvature, mixed, lane, optimizer } = this.#vectors;
    const outputs: Output[] = [];
    if (parameters) {
      const taker = { buffers: optimizer.buffers.pullBack, holds: [this.#direction] };
      const tangent = this.#wVector(curvature);
      outputs.push({ tensor: traced.parameters, tangent, taker: parameters === "open" ? taker : undefined });
    }
    if (hyper && traced.dependsOn.hyper) {
      const taker = { buffers: ACCUMULATE_BUFFERS };
      const tangent = this.#aVector(mixed);
      outputs.push({ tensor: traced.hyper, tangent, taker: hyper === "open" ? taker : undefined });
    }
    return { outputs, seeds: new Map([[this.#problem.leaves.parameters, lane.w]]) };
  }

  #openTo(sequence: Sequence, gradient: Program, leaves: LeafBindings): Supply {
    gradient.record(sequence, leaves);
    return this.#supply(gradient, this.#problem.inner.traced.parameters, leaves);
  }

  #multiply(program: Program, sequence: Sequence, leaves: LeafBindings): Products {
    const { parameters, hyper } = this.#problem.inner.traced;
    program.record(sequence, leaves);
    return {
      parameters: this.#supply(program, parameters, leaves),
      hyper: this.#supply(program, hyper, leaves),
    };
  }

  /** An output for the kernels that take it. */
  #supply(program: Program, output: Tensor, leaves: LeafBindings): Supply {
    return ({ w, direction } = {}) => {
      const held = new Map<LeafHalf, string>([
        ...(w === undefined ? [] : [[this.#w, w] as const]),
        ...(direction === undefined ? [] : [[this.#direction, direction] as const]),
      ]);
      return program.prologue(output, leaves, held);
    };
  }

  get #w(): LeafHalf {
    return [this.#problem.leaves.parameters, "primal"];
  }

  get #direction(): LeafHalf {
    return [this.#problem.leaves.parameters, "tangent"];
  }

  #wVector(block: Block) {
    return { block, lane: this.#vectors.lane.w };
  }

  #aVector(block: Block) {
    return { block, lane: this.#vectors.lane.a };
  }

  /** What the leaves are at a point: w, a tangent of it if any, and the step's batch. */
  #leaves({ t, w }: Point, direction?: Block): LeafBindings {
    const { leaves, inner, outer } = this.#problem;
    const primal = new Map<Tensor, Resource>([
      [leaves.parameters, w],
      [leaves.hyper, { block: this.#vectors.hyper }],
      ...inner.data,
      ...outer.data,
    ]);
    if (inner.batches) primal.set(inner.batches.leaf, inner.batches.table.row(t - 1));
    if (outer.batches) primal.set(outer.batches.leaf, outer.batches.table.row(0));
    return { primal, tangent: direction && new Map([[leaves.parameters, { block: direction }]]) };
  }

  #keptLeaves(point: Point, direction?: Block): LeafBindings {
    const { primal, tangent } = this.#leaves(point, direction);
    return { primal: new Map([...primal, ...this.#kept.of(point.t)]), tangent };
  }

  /** The program of that name, where several share it the `variant`; made at its first use. */
  #program(name: string, options: () => UnplacedProgram, variant: object = {}): Program {
    const key = `${name} ${JSON.stringify(variant)}`;
    let program = this.#made.get(key);
    if (program === undefined) {
      program = new Program({
        name,
        lanes: this.#problem.lanes,
        ...options(),
        adapter: this.#gpu.traits,
      });
      this.#made.set(key, program);
    }
    return program;
  }

  /** Values that depend on α and fixed data alone, yet serve every inner step: computed once an outer step. */
  #invariants(): Tensor[] {
    const { leaves, inner, outer } = this.#problem;
    const varying = new Set([
      leaves.parameters,
      ...[inner, outer].flatMap(({ batches }) => (batches ? [batches.leaf] : [])),
    ]);
    const of = ({ traced }: TracedLevel) => {
      const all = [traced.value, traced.parameters, traced.hyper];
      const seeds = new Set([leaves.parameters]);
      return invariants(schedule({ primal: all, tangent: all, seeds, available: new Set() }), varying);
    };
    return [...new Set([...of(inner), ...of(outer)])];
  }
}

function nameOf({ parameters, hyper }: ProductHalves): string {
  const halves = [parameters && "w", hyper && "α"].filter(Boolean);
  return `${halves.join(" ")}${parameters === true || hyper === true ? ", written" : ""}`;
}
