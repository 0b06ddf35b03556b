import { LOSS_LANE } from "../../shaders/outer_step.ts";
import { Arena } from "../gpu/arena.ts";
import { Block, type Resource } from "../gpu/block.ts";
import { Sequence } from "../gpu/dispatch.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type LeafBindings, Program, type ProgramOptions } from "../graph/program.ts";
import { invariants, schedule } from "../graph/schedule.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Problem, TracedLevel } from "./problem.ts";
import { Vectors } from "./vectors.ts";

/** What a Hessian product is asked for: the half in w, H_ww r, the half in α, H_αw r, or both. */
export interface ProductHalves {
  readonly parameters: boolean;
  readonly hyper: boolean;
}

type UnplacedProgram = Omit<ProgramOptions, "name" | "lanes" | "adapter">;

/**
 * The inner loop of a problem and the moves over it that estimators are written in. Every move appends kernels to
 * the sequence of one outer step; nothing runs until the sequence is built. The vectors are those of `Vectors`.
 */
export class Unroll {
  /** w ← w_0, v ← 0. */
  readonly begin = new Sequence("begin");
  /** The inner loop and the estimator. */
  readonly main = new Sequence("unroll");
  readonly vectors: Vectors;
  /** E of each lane, `LOSS_LANE` elements apart. */
  readonly outerLoss: Block;
  /** T */
  readonly steps: number;
  /** States that are stored, at most T. */
  readonly slots: number;

  readonly #problem: Problem;
  readonly #gpu: Gpu;
  readonly #programs = new Map<string, Program>();
  readonly #prelude: Program;
  readonly #gradient: Program;

  constructor(problem: Problem, gpu: Gpu, slots: number) {
    this.#problem = problem;
    this.#gpu = gpu;
    this.steps = problem.steps;
    this.slots = Math.min(slots, problem.steps);
    this.vectors = new Vectors(problem, this.slots, gpu.device.limits.maxBufferSize);
    this.outerLoss = new Block("E", "bookkeeping", 4 * LOSS_LANE * problem.lanes);
    this.vectors.begin(this.begin);
    this.#prelude = this.#program("once an outer step", () => ({ outputs: [], keep: this.#invariants() }));
    this.#prelude.record(this.main, this.#leaves(this.steps, this.vectors.parameters));
    this.#gradient = this.#program("inner gradient", () => ({
      outputs: [{ tensor: problem.inner.traced.parameters, primal: this.#wVector(this.vectors.gradient) }],
      after: [this.#prelude],
    }));
  }

  /** Does α enter the inner loss, so that there is a mixed derivative at all? */
  get hasMixed(): boolean {
    return this.#problem.inner.traced.dependsOn.hyper;
  }

  /** Is w_0 a hyperparameter? */
  get learnsStart(): boolean {
    return this.#problem.start !== undefined;
  }

  /** Is η or μ a hyperparameter? */
  get learnsOptimizer(): boolean {
    return this.vectors.storedVelocity !== undefined;
  }

  /** Settles where everything is in memory; called once, when all is recorded. */
  finish(): void {
    const arena = new Arena("activations");
    for (const program of this.#programs.values()) program.place(arena);
  }

  /** The programs, as tables. */
  explain(): string {
    return [...this.#programs.values()].map((program) => program.explain()).join("\n");
  }

  /** Inner step t = 1 … T from w_{t-1} to w_t. With `store`, the state before it goes to the ring. */
  innerStep(t: number, { store }: { store: boolean }): void {
    this.#gradient.record(this.main, this.#leaves(t, this.vectors.parameters));
    this.vectors.innerStep(this.main, t, { store });
  }

  /** All T inner steps; the last `slots` states before a step are stored. */
  innerLoop(): void {
    for (let t = 1; t <= this.steps; t++) this.innerStep(t, { store: t > this.steps - this.slots });
  }

  /** p ← g = ∇_w E at the current w. */
  outerGradient(): void {
    const program = this.#program("outer gradient", () => ({
      outputs: [
        { tensor: this.#problem.outer.traced.parameters, primal: this.#wVector(this.vectors.adjoint) },
      ],
      after: [this.#prelude],
    }));
    program.record(this.main, this.#leaves(this.steps, this.vectors.parameters));
  }

  /**
   * At the end of the inner loop: E, with `gradient` also p ← g_T, and ∇_α E into h ("set") or aside, for
   * `addDirect` ("hold").
   */
  outerValue({ gradient, direct }: { gradient: boolean; direct: "set" | "hold" }): void {
    const { value, parameters, hyper, dependsOn } = this.#problem.outer.traced;
    const { adjoint, hypergradient, direct: held } = this.vectors;
    const program = this.#program("outer loss", () => ({
      outputs: [
        { tensor: value, primal: { block: this.outerLoss, lane: LOSS_LANE } },
        ...(gradient ? [{ tensor: parameters, primal: this.#wVector(adjoint) }] : []),
        ...(direct === "set" ? [{ tensor: hyper, primal: this.#aVector(hypergradient) }] : []),
        ...(direct === "hold" && dependsOn.hyper ? [{ tensor: hyper, primal: this.#aVector(held) }] : []),
      ],
      after: [this.#prelude],
    }));
    program.record(this.main, this.#leaves(this.steps, this.vectors.parameters));
  }

  /** h += the ∇_α E that was put aside. */
  addDirect(): void {
    if (!this.#problem.outer.traced.dependsOn.hyper) return;
    this.vectors.addToHypergradient(this.main, this.steps, this.vectors.direct);
  }

  /** h ← 0. */
  clearHypergradient(): void {
    this.vectors.clearHypergradient(this.main);
  }

  /** p += H_ww r of the product at t + 1, then r ← μ_{t+1} r - η_t p; at t = T just r ← -η_T p. */
  pullBack(t: number): void {
    const first = t === this.steps;
    this.vectors.adjointStep(this.main, t, { accumulate: !first, momentum: !first, next: true });
  }

  /** p += H_ww r after the last product: the adjoint of w_0 when all T steps were pulled back. It goes to h. */
  pullBackToStart(): void {
    this.vectors.adjointStep(this.main, 1, { accumulate: true, momentum: false, next: false });
    this.vectors.addStart(this.main);
  }

  /** (H_ww r, H_αw r) at the stored w_{t-1}. */
  product(t: number, { parameters, hyper }: ProductHalves): void {
    const name = `product${parameters ? " w" : ""}${hyper ? " α" : ""}`;
    const program = this.#program(name, () => ({
      ...this.#product({ parameters, hyper }),
      after: [this.#prelude],
    }));
    const { storedParameters, direction } = this.vectors;
    program.record(this.main, this.#leaves(t, storedParameters.slot(t - 1), direction));
  }

  /**
   * H_αw g at w_{t-1}, right after `innerStep(t)` and `outerGradient()`: what the inner gradient left in memory is
   * not computed again.
   */
  mixedAlongOuterGradient(t: number): void {
    const { storedParameters, parameters, adjoint } = this.vectors;
    const at = this.needsStoredState ? storedParameters.slot(t - 1) : { block: parameters };
    this.#mixedProduct().record(this.main, this.#leaves(t, at, adjoint));
  }

  /** Does `mixedAlongOuterGradient` read w_{t-1} itself, beside the activations that it left? */
  get needsStoredState(): boolean {
    return this.hasMixed && this.#mixedProduct().reads(this.#problem.leaves.parameters);
  }

  /** h ← decay h + H_αw r; with `rate`, -η_t H_αw r. */
  addMixed(t: number, { decay = 1, rate = false }: { decay?: number; rate?: boolean } = {}): void {
    const { mixed } = this.vectors;
    if (this.hasMixed || decay !== 1) this.vectors.addToHypergradient(this.main, t, mixed, { decay, rate });
  }

  /** dE/dη_t += -⟨p, v_t⟩ and dE/dμ_t += ⟨r, v_{t-1}⟩ in the reverse sweep. */
  addOptimizerTerms(t: number): void {
    this.vectors.addRateTerm(this.main, t, t === this.steps ? "newest" : "stored");
    this.vectors.addMomentumTerm(this.main, t, "direction");
  }

  /** The same right after inner step t, with p for the adjoint and -η_t p for r. */
  addOptimizerTermsForward(t: number): void {
    this.vectors.addRateTerm(this.main, t, "newest");
    this.vectors.addMomentumTerm(this.main, t, "adjoint");
  }

  #mixedProduct(): Program {
    return this.#program("mixed product", () => ({
      ...this.#product({ parameters: false, hyper: true }),
      after: [this.#prelude, this.#gradient],
    }));
  }

  #product({ parameters, hyper }: ProductHalves): Pick<ProgramOptions, "outputs" | "seeds"> {
    const { traced } = this.#problem.inner;
    const { curvature, mixed, lane } = this.vectors;
    return {
      outputs: [
        ...(parameters ? [{ tensor: traced.parameters, tangent: this.#wVector(curvature) }] : []),
        ...(hyper && this.hasMixed ? [{ tensor: traced.hyper, tangent: this.#aVector(mixed) }] : []),
      ],
      seeds: new Map([[this.#problem.leaves.parameters, lane.w]]),
    };
  }

  #wVector(block: Block) {
    return { block, lane: this.vectors.lane.w };
  }

  #aVector(block: Block) {
    return { block, lane: this.vectors.lane.a };
  }

  /** What the leaves are at step t: w where it is said, a tangent if any, and the step's batch. */
  #leaves(t: number, parameters: Block | Resource, direction?: Block): LeafBindings {
    const { leaves, inner, outer } = this.#problem;
    const primal = new Map<Tensor, Resource>([
      [leaves.parameters, parameters instanceof Block ? { block: parameters } : parameters],
      [leaves.hyper, { block: this.vectors.hyper }],
      ...inner.data,
      ...outer.data,
    ]);
    if (inner.batches) primal.set(inner.batches.leaf, inner.batches.table.row(t - 1));
    if (outer.batches) primal.set(outer.batches.leaf, outer.batches.table.row(0));
    return { primal, tangent: direction && new Map([[leaves.parameters, { block: direction }]]) };
  }

  /** The program of that name; made at its first use. */
  #program(name: string, options: () => UnplacedProgram): Program {
    let program = this.#programs.get(name);
    if (program === undefined) {
      program = new Program({
        name,
        ...options(),
        lanes: this.#problem.lanes,
        adapter: this.#gpu.choice.kind,
      });
      this.#programs.set(name, program);
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
