import { LOSS_LANE } from "../../shaders/outer_step.ts";
import { Arena } from "../gpu/arena.ts";
import { Block, type Resource } from "../gpu/block.ts";
import type { Sequence } from "../gpu/dispatch.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type LeafBindings, Program, type ProgramOptions } from "../graph/program.ts";
import { invariants, schedule } from "../graph/schedule.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Columns } from "./columns.ts";
import type { Problem, TracedLevel } from "./problem.ts";
import type { Vectors } from "./vectors.ts";

/** What a Hessian product is asked for: the half in w, H_ww r, the half in α, H_αw r, or both. */
export interface ProductHalves {
  readonly parameters: boolean;
  readonly hyper: boolean;
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
  readonly #gradient: Program;

  constructor(problem: Problem, vectors: Vectors, gpu: Gpu) {
    this.#problem = problem;
    this.#vectors = vectors;
    this.#gpu = gpu;
    this.outerLoss = new Block("E", "bookkeeping", 4 * LOSS_LANE * problem.lanes);
    this.#prelude = this.#program("once an outer step", () => ({ outputs: [], keep: this.#invariants() }));
    this.#gradient = this.#program("inner gradient", () => ({
      outputs: [{ tensor: problem.inner.traced.parameters, primal: this.#wVector(vectors.gradient) }],
      after: [this.#prelude],
    }));
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

  /** ∇_w L; its activations stay in memory for `frozenProduct` and `columnProducts`. */
  innerGradient(sequence: Sequence, point: Point): void {
    this.#gradient.record(sequence, this.#leaves(point));
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
  product(sequence: Sequence, point: Point, x: Block, halves: ProductHalves): void {
    const program = this.#program(`product ${nameOf(halves)}`, () => ({
      ...this.#product(halves),
      after: [this.#prelude],
    }));
    program.record(sequence, this.#leaves(point, x));
  }

  /** The same where `innerGradient` was last recorded: tangents alone, as all values are in memory. */
  frozenProduct(sequence: Sequence, point: Point, x: Block, halves: ProductHalves): void {
    this.#frozen(halves).record(sequence, this.#leaves(point, x));
  }

  /** Does a frozen product read w itself, beside the activations? */
  readsState(halves: ProductHalves): boolean {
    return this.#frozen(halves).reads(this.#problem.leaves.parameters);
  }

  /** H_ww ẇ + H_wα α̇ of all columns, where `innerGradient` was last recorded. */
  columnProducts(sequence: Sequence, point: Point, columns: Columns): void {
    const { leaves, inner } = this.#problem;
    const { parameters, hyper, gradient, count, lane } = columns;
    const program = this.#program(`products of ${count} columns`, () => ({
      outputs: [{ tensor: inner.traced.parameters, tangent: { block: gradient, lane: lane.w } }],
      seeds: new Map([[leaves.parameters, lane.w], ...(hyper ? [[leaves.hyper, lane.a] as const] : [])]),
      after: [this.#prelude, this.#gradient],
      lanes: count * this.#problem.lanes,
      points: this.#problem.lanes,
    }));
    const tangent = new Map([
      [leaves.parameters, { block: parameters }],
      ...(hyper ? [[leaves.hyper, { block: hyper }] as const] : []),
    ]);
    program.record(sequence, { ...this.#leaves(point), tangent });
  }

  #frozen(halves: ProductHalves): Program {
    return this.#program(`frozen product ${nameOf(halves)}`, () => ({
      ...this.#product(halves),
      after: [this.#prelude, this.#gradient],
    }));
  }

  #product({ parameters, hyper }: ProductHalves): Pick<ProgramOptions, "outputs" | "seeds"> {
    const { traced } = this.#problem.inner;
    const { curvature, mixed, lane } = this.#vectors;
    return {
      outputs: [
        ...(parameters ? [{ tensor: traced.parameters, tangent: this.#wVector(curvature) }] : []),
        ...(hyper && traced.dependsOn.hyper ? [{ tensor: traced.hyper, tangent: this.#aVector(mixed) }] : []),
      ],
      seeds: new Map([[this.#problem.leaves.parameters, lane.w]]),
    };
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

  /** The program of that name; made at its first use. */
  #program(name: string, options: () => UnplacedProgram): Program {
    let program = this.#made.get(name);
    if (program === undefined) {
      program = new Program({
        name,
        lanes: this.#problem.lanes,
        ...options(),
        adapter: this.#gpu.traits,
      });
      this.#made.set(name, program);
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
  return [...(parameters ? ["w"] : []), ...(hyper ? ["α"] : [])].join(" ");
}
