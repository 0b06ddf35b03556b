import type { Coefficient } from "../../shaders/coefficient.ts";
import { fill } from "../../shaders/copy.ts";
import { accumulate, addDot, copy } from "../../shaders/flat.ts";
import { adjointStep, innerStep } from "../../shaders/inner_step.ts";
import { linearGrid, type View } from "../../shaders/operand.ts";
import { Arena } from "../gpu/arena.ts";
import { align, Block, OFFSET_ALIGNMENT, type Resource } from "../gpu/block.ts";
import { bindings, Sequence } from "../gpu/dispatch.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type LeafBindings, Program } from "../graph/program.ts";
import { invariants } from "../graph/schedule.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Problem, Rate, TracedLevel } from "./problem.ts";
import { Trajectory } from "./trajectory.ts";

/** No inner step diverged. */
export const SOUND = 0xffff_ffff;

/** What a Hessian product is asked for: the half in w, (H_ww r), the half in α, (H_αw r), or both. */
export interface ProductHalves {
  readonly parameters: boolean;
  readonly hyper: boolean;
}

/**
 * The inner loop of a problem and the moves over it that estimators are written in. Every method appends kernels
 * to the sequence of one outer step; nothing runs until the sequence is built.
 *
 * Vectors are flat, one a lane: w, v; p = `adjoint` (the outer gradient g, then the adjoint of w); r = `direction`;
 * H_ww r = `curvature`; H_αw r = `mixed`; h = `hypergradient`.
 */
export class Unroll {
  /** w ← w_0, v ← 0. */
  readonly begin = new Sequence("begin");
  /** The inner loop and the estimator. */
  readonly main = new Sequence("unroll");
  readonly steps: number;
  /** Stored states: w_{t-1}, and v_{t-1} where the optimizer's hyperparameters need it. */
  readonly slots: number;

  readonly parameters: Block;
  readonly hyper: Block;
  readonly hypergradient: Block;
  readonly outerLoss: Block;
  readonly status = new Block("status", "bookkeeping", 4, Uint32Array.of(SOUND));
  readonly #velocity: Block | undefined;
  readonly #initial: Block;
  readonly #gradient: Block;
  readonly #adjoint: Block;
  readonly #direction: Block;
  readonly #curvature: Block;
  readonly #mixed: Block;
  readonly #direct: Block;
  readonly #table: Block;
  readonly #storedParameters: Trajectory;
  readonly #storedVelocity: Trajectory | undefined;

  readonly #problem: Problem;
  readonly #gpu: Gpu;
  readonly #arena = new Arena("activations");
  readonly #programs: Program[] = [];
  readonly #prelude: Program;
  readonly #gradientProgram: Program;
  readonly #cache = new Map<string, Program>();
  readonly #lane: { w: number; a: number };

  constructor(problem: Problem, gpu: Gpu, slots: number) {
    const { leaves, lanes, steps, lr, momentum } = problem;
    this.#problem = problem;
    this.#gpu = gpu;
    this.steps = steps;
    this.slots = Math.min(slots, steps);
    const w = leaves.lane.parameters;
    const a = align(leaves.hyperLayout.size, 4);
    this.#lane = { w, a };
    const learned = "group" in lr || "group" in momentum;
    const moving = learned || !("value" in momentum && momentum.value === 0);
    const vector = (label: string, role: Block["role"], lane: number) =>
      new Block(label, role, 4 * lane * lanes);

    this.parameters = vector("w", "parameters", w);
    this.#initial = vector("w_0", "parameters", w);
    this.#initial.initial = leaves.parameterLayout.pack(problem.parameters, lanes, w);
    this.hyper = new Block("α", "hyperparameters", 4 * a, leaves.hyperLayout.pack(problem.hyper));
    this.#velocity = moving ? vector("v", "momentum", w) : undefined;
    this.#gradient = vector("∇L", "gradients", w);
    this.hypergradient = vector("h", "gradients", a);
    this.#direct = vector("∇_α E", "gradients", a);
    this.#mixed = vector("H_αw r", "gradients", a);
    this.#adjoint = vector("p", "adjoint", w);
    this.#direction = vector("r", "adjoint", w);
    this.#curvature = vector("H_ww r", "adjoint", w);
    this.outerLoss = new Block("E", "bookkeeping", 16 * lanes);
    const limit = gpu.device.limits.maxBufferSize;
    this.#storedParameters = new Trajectory("w", Math.max(this.slots, 1), 4 * w * lanes, limit);
    this.#storedVelocity = learned
      ? new Trajectory("v", Math.max(this.slots, 1), 4 * w * lanes, limit)
      : undefined;
    const rows = new Uint32Array((steps * OFFSET_ALIGNMENT) / 4);
    for (let t = 0; t < steps; t++) rows[(t * OFFSET_ALIGNMENT) / 4] = t;
    this.#table = new Block("step table", "bookkeeping", rows.byteLength, rows);

    this.#prelude = this.#program("once an outer step", { outputs: [], keep: this.#invariants() });
    this.#prelude.record(this.main, this.#leaves(steps, this.parameters));
    this.#gradientProgram = this.#program("inner gradient", {
      outputs: [{ tensor: problem.inner.traced.parameters, primal: { block: this.#gradient, lane: w } }],
      after: [this.#prelude],
    });
    this.#recordBegin();
  }

  /** Does α enter the inner loss, so that there is a mixed derivative at all? */
  get hasMixed(): boolean {
    return this.#problem.inner.traced.dependsOn.hyper;
  }

  /** Is w_0 a hyperparameter? */
  get learnsStart(): boolean {
    return this.#problem.start !== undefined;
  }

  /** Settles where everything is in memory; called once, when all is recorded. */
  finish(): void {
    for (const program of this.#programs) program.place(this.#arena);
  }

  /** The programs, as tables. */
  explain(): string {
    return this.#programs.map((program) => program.explain()).join("\n");
  }

  /**
   * Inner step t = 1 … T: ∇L at w_{t-1}, then v_t and w_t. With `store`, the state before it goes to the ring.
   */
  innerStep(t: number, { store }: { store: boolean }): void {
    const { lr, momentum } = this.#problem;
    const { w } = this.#lane;
    this.#gradientProgram.record(this.main, this.#leaves(t, this.parameters));
    const count = this.#problem.leaves.parameterLayout.size;
    const stores = { parameters: store, velocity: store && this.#storedVelocity !== undefined };
    const rate = coefficientOf(lr);
    const mu = coefficientOf(momentum);
    const moving = this.#velocity !== undefined;
    this.#dispatch("inner step", count, moving ? 4 : 2, {
      code: innerStep({ count, lane: w, rate, momentum: mu, velocity: moving, store: stores }),
      bindings: bindings(
        ["read", { block: this.#gradient }],
        ["write", { block: this.parameters }],
        this.#velocity && ["write", { block: this.#velocity }],
        stores.parameters ? ["write", this.#storedParameters.slot(t - 1)] : undefined,
        stores.velocity ? ["write", this.#storedVelocity!.slot(t - 1)] : undefined,
        rate.view && ["read", { block: this.hyper }],
        moving && mu.view ? ["read", { block: this.hyper }] : undefined,
        ["uniform", this.#row(t)],
        ["write", { block: this.status }],
      ),
    });
  }

  /** All T inner steps, with the last `slots` states before a step stored. */
  innerLoop(): void {
    for (let t = 1; t <= this.steps; t++) this.innerStep(t, { store: t > this.steps - this.slots });
  }

  /** p ← g = ∇_w E at the current w. */
  outerGradient(): void {
    const { outer } = this.#problem;
    this.#once("outer gradient", () => ({
      outputs: [{ tensor: outer.traced.parameters, primal: { block: this.#adjoint, lane: this.#lane.w } }],
      after: [this.#prelude],
    })).record(this.main, this.#leaves(this.steps, this.parameters));
  }

  /**
   * At the end of the inner loop: E, with `gradient` also p ← g_T, and ∇_α E to h (`direct: "set"`) or to be added
   * to h later (`direct: "hold"`).
   */
  outerValue({ gradient, direct }: { gradient: boolean; direct: "set" | "hold" }): void {
    const { value, parameters, hyper, dependsOn } = this.#problem.outer.traced;
    const hold = direct === "hold";
    this.#once("outer loss", () => ({
      outputs: [
        { tensor: value, primal: { block: this.outerLoss, lane: 4 } },
        ...(gradient ? [{ tensor: parameters, primal: { block: this.#adjoint, lane: this.#lane.w } }] : []),
        ...(hold && !dependsOn.hyper
          ? []
          : [
              {
                tensor: hyper,
                primal: { block: hold ? this.#direct : this.hypergradient, lane: this.#lane.a },
              },
            ]),
      ],
      after: [this.#prelude],
    })).record(this.main, this.#leaves(this.steps, this.parameters));
  }

  /** h += the ∇_α E that was held. */
  addDirect(): void {
    if (this.#problem.outer.traced.dependsOn.hyper) {
      this.#accumulate(this.#direct, { t: this.steps, decay: 1, factor: 1, scale: { literal: 1 } });
    }
  }

  /** h ← 0. */
  clearHypergradient(): void {
    this.#fill(this.main, this.hypergradient, this.#problem.leaves.hyperLayout.size, this.#lane.a);
  }

  /** r ← μ_{t+1} r - η_t p, after p += H_ww r of the product at t + 1; at t = T, r ← -η_T p. */
  pullBack(t: number): void {
    const first = t === this.steps;
    this.#adjointStep(t, { accumulate: !first, momentum: !first, next: true });
  }

  /** p += H_ww r after the last product, which makes it the adjoint of w_0 when all T steps were pulled back. */
  pullBackToStart(): void {
    this.#adjointStep(1, { accumulate: true, momentum: false, next: false });
  }

  /** The adjoint of w_0 goes to its group: h += p. */
  addStart(): void {
    const { start, leaves } = this.#problem;
    if (start === undefined) return;
    const view: View = { offset: leaves.hyperLayout.offset(start), lane: this.#lane.a };
    this.#accumulate(this.#adjoint, { t: this.steps, decay: 1, factor: 1, scale: { literal: 1 }, view });
  }

  /** P_t(r) at the stored state w_{t-1}. */
  product(t: number, halves: ProductHalves): void {
    const program = this.#once(`product${halves.parameters ? " w" : ""}${halves.hyper ? " α" : ""}`, () => ({
      ...this.#productOf(halves),
      after: [this.#prelude],
    }));
    program.record(this.main, this.#leaves(t, this.#storedParameters.slot(t - 1), this.#direction));
  }

  /**
   * H_αw g at w_{t-1}, right after `innerStep(t)` and `outerGradient()`: what the inner gradient left in memory is
   * not computed again.
   */
  mixedAlongOuterGradient(t: number): void {
    const at = this.needsStoredState ? this.#storedParameters.slot(t - 1) : this.parameters;
    this.#mixedRetained().record(this.main, this.#leaves(t, at, this.#adjoint));
  }

  /** Does `mixedAlongOuterGradient` read w_{t-1} itself, beside the activations that it left? */
  get needsStoredState(): boolean {
    return this.hasMixed && this.#mixedRetained().reads(this.#problem.leaves.parameters);
  }

  #mixedRetained(): Program {
    return this.#once("mixed product", () => ({
      ...this.#productOf({ parameters: false, hyper: true }),
      after: [this.#prelude, this.#gradientProgram],
    }));
  }

  #productOf({ parameters, hyper }: ProductHalves) {
    const { traced } = this.#problem.inner;
    const { w, a } = this.#lane;
    return {
      outputs: [
        ...(parameters ? [{ tensor: traced.parameters, tangent: { block: this.#curvature, lane: w } }] : []),
        ...(hyper && this.hasMixed
          ? [{ tensor: traced.hyper, tangent: { block: this.#mixed, lane: a } }]
          : []),
      ],
      seeds: new Map([[this.#problem.leaves.parameters, w]]),
    };
  }

  /** h ← decay h + factor H_αw r, with the factor -η_t instead when `rate` is set. */
  addMixed(t: number, { decay, rate }: { decay: number; rate: boolean }): void {
    if (!this.hasMixed) {
      if (decay !== 1) this.#accumulate(this.#mixed, { t, decay, factor: 0, scale: { literal: 0 } });
      return;
    }
    const scale = rate ? coefficientOf(this.#problem.lr) : { literal: 1 };
    this.#accumulate(this.#mixed, { t, decay, factor: rate ? -1 : 1, scale });
  }

  /** dE/dη_t += -⟨p, v_t⟩ and dE/dμ_t += ⟨r, v_{t-1}⟩ with the stored v_{t-1}. */
  addOptimizerTerms(t: number, { direction }: { direction: "r" | "-ηp" }): void {
    const { lr, momentum } = this.#problem;
    const velocity: Resource = { block: this.#velocity! };
    if ("group" in lr) {
      const after = t === this.steps || direction === "-ηp" ? velocity : this.#storedVelocity!.slot(t);
      this.#addDot(t, this.#adjoint, after, lr, -1, { literal: 1 });
    }
    if ("group" in momentum) {
      const before = this.#storedVelocity!.slot(t - 1);
      if (direction === "r") this.#addDot(t, this.#direction, before, momentum, 1, { literal: 1 });
      else this.#addDot(t, this.#adjoint, before, momentum, -1, coefficientOf(lr));
    }
  }

  /** Does η or μ belong to α? */
  get learnsOptimizer(): boolean {
    return this.#storedVelocity !== undefined;
  }

  // What follows turns the moves into dispatches.

  #addDot(
    t: number,
    a: Block,
    b: Resource,
    group: Extract<Rate, { group: string }>,
    factor: number,
    scale: Coefficient,
  ): void {
    const count = this.#problem.leaves.parameterLayout.size;
    const flat: View = { offset: 0, lane: this.#lane.w };
    const out = { offset: group.offset, lane: this.#lane.a, perStep: group.perStep };
    this.main.add({
      label: "dot",
      code: addDot(count, flat, flat, out, { factor, scale }),
      bindings: bindings(
        ["read", { block: a }],
        ["read", b],
        ["write", { block: this.hypergradient }],
        scale.view && ["read", { block: this.hyper }],
        ["uniform", this.#row(t)],
      ),
      grid: [1, 1, this.#problem.lanes],
      flops: 2 * count,
      bytes: 8 * count * this.#problem.lanes,
    });
  }

  #accumulate(
    x: Block,
    {
      t,
      decay,
      factor,
      scale,
      view,
    }: { t: number; decay: number; factor: number; scale: Coefficient; view?: View },
  ): void {
    const { leaves } = this.#problem;
    const count = view ? leaves.parameterLayout.size : leaves.hyperLayout.size;
    const from: View = { offset: 0, lane: view ? this.#lane.w : this.#lane.a };
    this.#dispatch("accumulate", count, 3, {
      code: accumulate(count, from, view ?? from, { decay, factor, scale }),
      bindings: bindings(
        ["read", { block: x }],
        ["write", { block: this.hypergradient }],
        scale.view && ["read", { block: this.hyper }],
        ["uniform", this.#row(t)],
      ),
    });
  }

  #adjointStep(
    t: number,
    { accumulate, momentum, next }: { accumulate: boolean; momentum: boolean; next: boolean },
  ): void {
    const count = this.#problem.leaves.parameterLayout.size;
    const rate = coefficientOf(this.#problem.lr);
    const mu = momentum ? { ...coefficientOf(this.#problem.momentum), shift: 1 } : undefined;
    this.#dispatch("adjoint step", count, 4, {
      code: adjointStep({ count, lane: this.#lane.w, accumulate, rate, momentum: mu, next }),
      bindings: bindings(
        ["write", { block: this.#adjoint }],
        next ? ["write", { block: this.#direction }] : undefined,
        accumulate ? ["read", { block: this.#curvature }] : undefined,
        next && rate.view ? ["read", { block: this.hyper }] : undefined,
        mu?.view ? ["read", { block: this.hyper }] : undefined,
        ["uniform", this.#row(t)],
      ),
    });
  }

  #recordBegin(): void {
    const { start, leaves } = this.#problem;
    const count = leaves.parameterLayout.size;
    const to: View = { offset: 0, lane: this.#lane.w };
    const from: View = start === undefined ? to : { offset: leaves.hyperLayout.offset(start), lane: 0 };
    const source = start === undefined ? this.#initial : this.hyper;
    this.#dispatch(
      "copy",
      count,
      2,
      {
        code: copy(count, from, to),
        bindings: bindings(["read", { block: source }], ["write", { block: this.parameters }]),
      },
      this.begin,
    );
    if (this.#velocity) this.#fill(this.begin, this.#velocity, count, this.#lane.w);
  }

  #fill(sequence: Sequence, block: Block, count: number, lane: number): void {
    const code = fill(0, count, { primal: { offset: 0, lane } });
    this.#dispatch("fill", count, 1, { code, bindings: bindings(["write", { block }]) }, sequence);
  }

  /** A kernel over `count` elements of every lane that touches `touched` of them each. */
  #dispatch(
    label: string,
    count: number,
    touched: number,
    kernel: { code: string; bindings: ReturnType<typeof bindings> },
    sequence = this.main,
  ): void {
    const { lanes } = this.#problem;
    sequence.add({
      label,
      ...kernel,
      grid: [...linearGrid(count), lanes],
      flops: touched * count,
      bytes: 4 * touched * count * lanes,
    });
  }

  #row(t: number): Resource {
    return { block: this.#table, offset: OFFSET_ALIGNMENT * (t - 1), size: 16, dynamic: true };
  }

  #leaves(t: number, parameters: Block | Resource, direction?: Block): LeafBindings {
    const { leaves, inner, outer } = this.#problem;
    const primal = new Map<Tensor, Resource>([
      [leaves.parameters, parameters instanceof Block ? { block: parameters } : parameters],
      [leaves.hyper, { block: this.hyper }],
      ...inner.data,
      ...outer.data,
    ]);
    if (inner.batches) primal.set(inner.batches.leaf, inner.batches.table.row(t - 1));
    if (outer.batches) primal.set(outer.batches.leaf, outer.batches.table.row(0));
    return { primal, tangent: direction && new Map([[leaves.parameters, { block: direction }]]) };
  }

  #once(
    name: string,
    options: () => Omit<ConstructorParameters<typeof Program>[0], "name" | "lanes" | "adapter">,
  ): Program {
    const known = this.#cache.get(name) ?? this.#program(name, options());
    this.#cache.set(name, known);
    return known;
  }

  #program(
    name: string,
    options: Omit<ConstructorParameters<typeof Program>[0], "name" | "lanes" | "adapter">,
  ): Program {
    const program = new Program({
      name,
      ...options,
      lanes: this.#problem.lanes,
      adapter: this.#gpu.choice.kind,
    });
    this.#programs.push(program);
    return program;
  }

  /** Values that depend on α and fixed data alone: computed once an outer step. */
  #invariants(): Tensor[] {
    const { leaves, inner, outer } = this.#problem;
    const varying = new Set([
      leaves.parameters,
      ...[inner, outer].flatMap(({ batches }) => (batches ? [batches.leaf] : [])),
    ]);
    const of = ({ traced }: TracedLevel, name: string) => {
      const program = new Program({
        name,
        outputs: [traced.value, traced.parameters, traced.hyper].map((tensor) => ({
          tensor,
          primal: { block: this.#mixed, lane: 0 },
          tangent: { block: this.#mixed, lane: 0 },
        })),
        seeds: new Map([[leaves.parameters, this.#lane.w]]),
        lanes: this.#problem.lanes,
        adapter: this.#gpu.choice.kind,
      });
      return invariants(program.schedule, varying);
    };
    return [...new Set([...of(inner, "inner"), ...of(outer, "outer")])];
  }
}

function coefficientOf(rate: Rate): Coefficient {
  if ("value" in rate) return { literal: rate.value };
  return { view: { offset: rate.offset, lane: 0 }, perStep: rate.perStep };
}
