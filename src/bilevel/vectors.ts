import { fill, stridedCopy } from "../../shaders/copy.ts";
import { accumulate, addDot } from "../../shaders/flat.ts";
import { adjointStep, innerStep } from "../../shaders/inner_step.ts";
import { linearGrid, type View } from "../../shaders/operand.ts";
import { align, Block, OFFSET_ALIGNMENT, type Resource, type Role } from "../gpu/block.ts";
import { type Binding, bindings, type Sequence } from "../gpu/dispatch.ts";
import type { Problem } from "./problem.ts";
import { type Coefficient, coefficientOf } from "./rate.ts";
import { Trajectory } from "./trajectory.ts";

/** No inner step diverged. */
export const SOUND = 0xffff_ffff;

/**
 * The flat vectors of an unroll, a lane each, and the kernels that need nothing else: the optimizer's step, its
 * adjoint, sums and inner products. Every method appends dispatches to a sequence.
 */
export class Vectors {
  /** w */
  readonly parameters: Block;
  /** α; all lanes share it. */
  readonly hyper: Block;
  /** h */
  readonly hypergradient: Block;
  /** ∇_w L */
  readonly gradient: Block;
  /** p: first the outer gradient g, then the adjoint of w. */
  readonly adjoint: Block;
  /** r */
  readonly direction: Block;
  /** H_ww r */
  readonly curvature: Block;
  /** H_αw r */
  readonly mixed: Block;
  /** ∇_α E, held to be added to h later. */
  readonly direct: Block;
  /** Index of the first inner step after which a parameter was not finite, or SOUND. */
  readonly status = new Block("status", "bookkeeping", 4, Uint32Array.of(SOUND));
  /** Stored w_{t-1}. */
  readonly storedParameters: Trajectory;
  /** Stored v_{t-1}, where η or μ is learned. */
  readonly storedVelocity: Trajectory | undefined;
  /** Elements from one lane to the next, of vectors like w and of vectors like α. */
  readonly lane: { readonly w: number; readonly a: number };
  readonly #velocity: Block | undefined;
  readonly #initial: Block;
  readonly #table: Block;
  readonly #problem: Problem;

  /** `slots` states are stored; one buffer may have `limit` bytes. */
  constructor(problem: Problem, slots: number, limit: number) {
    const { leaves, lanes, steps, lr, momentum } = problem;
    this.#problem = problem;
    const w = leaves.lane.parameters;
    const a = align(leaves.hyperLayout.size, 4);
    this.lane = { w, a };
    const block = (label: string, role: Role, lane: number) => new Block(label, role, 4 * lane * lanes);
    this.parameters = block("w", "parameters", w);
    this.#initial = block("w_0", "parameters", w);
    this.#initial.initial = leaves.parameterLayout.pack(problem.parameters, lanes, w);
    this.hyper = new Block("α", "hyperparameters", 4 * a, leaves.hyperLayout.pack(problem.hyper));
    this.gradient = block("∇L", "gradients", w);
    this.hypergradient = block("h", "gradients", a);
    this.direct = block("∇_α E", "gradients", a);
    this.mixed = block("H_αw r", "gradients", a);
    this.adjoint = block("p", "adjoint", w);
    this.direction = block("r", "adjoint", w);
    this.curvature = block("H_ww r", "adjoint", w);

    const learned = "group" in lr || "group" in momentum;
    const still = !learned && "value" in momentum && momentum.value === 0;
    this.#velocity = still ? undefined : block("v", "momentum", w);
    const ring = (label: string) => new Trajectory(label, Math.max(slots, 1), 4 * w * lanes, limit);
    this.storedParameters = ring("w");
    this.storedVelocity = learned ? ring("v") : undefined;

    const rows = new Uint32Array((steps * OFFSET_ALIGNMENT) / 4);
    for (let t = 0; t < steps; t++) rows[(t * OFFSET_ALIGNMENT) / 4] = t;
    this.#table = new Block("step table", "bookkeeping", rows.byteLength, rows);
  }

  /** w ← w_0, v ← 0. */
  begin(sequence: Sequence): void {
    const { start, leaves } = this.#problem;
    const count = leaves.parameterLayout.size;
    const to: View = { offset: 0, lane: this.lane.w };
    const from: View = start === undefined ? to : { offset: leaves.hyperLayout.offset(start), lane: 0 };
    const source = start === undefined ? this.#initial : this.hyper;
    const code = stridedCopy(count, "i", "true", { primal: from }, { primal: to });
    this.#dispatch(sequence, "copy", count, 2, code, [
      ["read", { block: source }],
      undefined,
      ["write", { block: this.parameters }],
    ]);
    if (this.#velocity) this.#clear(sequence, this.#velocity, count, this.lane.w);
  }

  /** h ← 0. */
  clearHypergradient(sequence: Sequence): void {
    this.#clear(sequence, this.hypergradient, this.#problem.leaves.hyperLayout.size, this.lane.a);
  }

  /** v ← μ v + ∇L, w ← w - η v of step t; with `store`, the state before goes to the ring. */
  innerStep(sequence: Sequence, t: number, { store }: { store: boolean }): void {
    const { lr, momentum, leaves } = this.#problem;
    const count = leaves.parameterLayout.size;
    const stores = { parameters: store, velocity: store && this.storedVelocity !== undefined };
    const rate = coefficientOf(lr);
    const mu = coefficientOf(momentum);
    const velocity = this.#velocity;
    const code = innerStep({
      count,
      lane: this.lane.w,
      rate,
      momentum: mu,
      velocity: velocity !== undefined,
      store: stores,
    });
    this.#dispatch(sequence, "inner step", count, velocity ? 5 : 3, code, [
      ["read", { block: this.gradient }],
      ["write", { block: this.parameters }],
      velocity && ["write", { block: velocity }],
      stores.parameters ? ["write", this.storedParameters.slot(t - 1)] : undefined,
      stores.velocity ? ["write", this.storedVelocity!.slot(t - 1)] : undefined,
      this.#coefficient(rate),
      velocity && this.#coefficient(mu),
      ["uniform", this.#row(t)],
      ["write", { block: this.status }],
    ]);
  }

  /**
   * p += H_ww r if `accumulate`, then, if `next`, r ← μ_{t+1} r - η_t p; without `momentum` the old r counts as 0.
   */
  adjointStep(
    sequence: Sequence,
    t: number,
    { accumulate, momentum, next }: { accumulate: boolean; momentum: boolean; next: boolean },
  ): void {
    const count = this.#problem.leaves.parameterLayout.size;
    const rate = coefficientOf(this.#problem.lr);
    const mu = momentum ? { ...coefficientOf(this.#problem.momentum), shift: 1 } : undefined;
    const code = adjointStep({ count, lane: this.lane.w, accumulate, rate, momentum: mu, next });
    this.#dispatch(sequence, "adjoint step", count, 4, code, [
      ["write", { block: this.adjoint }],
      next ? ["write", { block: this.direction }] : undefined,
      accumulate ? ["read", { block: this.curvature }] : undefined,
      next ? this.#coefficient(rate) : undefined,
      mu && this.#coefficient(mu),
      ["uniform", this.#row(t)],
    ]);
  }

  /** h ← decay h + x, for a vector x like α; with `rate` it is -η_t x that is added. */
  addToHypergradient(
    sequence: Sequence,
    t: number,
    x: Block,
    { decay = 1, rate = false }: { decay?: number; rate?: boolean } = {},
  ): void {
    const flat: View = { offset: 0, lane: this.lane.a };
    const scale = rate ? coefficientOf(this.#problem.lr) : { literal: 1 };
    this.#accumulate(sequence, t, x, this.#problem.leaves.hyperLayout.size, flat, flat, {
      decay,
      factor: rate ? -1 : 1,
      scale,
    });
  }

  /** The group of h that belongs to w_0 += p. */
  addStart(sequence: Sequence): void {
    const { start, leaves, steps } = this.#problem;
    if (start === undefined) return;
    const from: View = { offset: 0, lane: this.lane.w };
    const to: View = { offset: leaves.hyperLayout.offset(start), lane: this.lane.a };
    this.#accumulate(sequence, steps, this.adjoint, leaves.parameterLayout.size, from, to, {
      decay: 1,
      factor: 1,
      scale: { literal: 1 },
    });
  }

  /** h_{η_t} -= ⟨p, v_t⟩, if η is learned; v_t is the newest velocity, or one from the ring. */
  addRateTerm(sequence: Sequence, t: number, velocity: "newest" | "stored"): void {
    const { lr } = this.#problem;
    if (!("group" in lr)) return;
    const after: Resource = velocity === "newest" ? { block: this.#velocity! } : this.storedVelocity!.slot(t);
    this.#addDot(sequence, t, this.adjoint, after, lr, -1, { literal: 1 });
  }

  /** h_{μ_t} += ⟨r, v_{t-1}⟩, if μ is learned; `along` says whether r is there or stands for -η_t p. */
  addMomentumTerm(sequence: Sequence, t: number, along: "direction" | "adjoint"): void {
    const { lr, momentum } = this.#problem;
    if (!("group" in momentum)) return;
    const before = this.storedVelocity!.slot(t - 1);
    if (along === "direction") this.#addDot(sequence, t, this.direction, before, momentum, 1, { literal: 1 });
    else this.#addDot(sequence, t, this.adjoint, before, momentum, -1, coefficientOf(lr));
  }

  #addDot(
    sequence: Sequence,
    t: number,
    a: Block,
    b: Resource,
    group: { readonly offset: number; readonly perStep: boolean },
    factor: number,
    scale: Coefficient,
  ): void {
    const { leaves, lanes } = this.#problem;
    const count = leaves.parameterLayout.size;
    const flat: View = { offset: 0, lane: this.lane.w };
    const out = { offset: group.offset, lane: this.lane.a, perStep: group.perStep };
    sequence.add({
      label: "dot",
      code: addDot(count, flat, flat, out, { factor, scale }),
      bindings: bindings(
        ["read", { block: a }],
        ["read", b],
        ["write", { block: this.hypergradient }],
        this.#coefficient(scale),
        ["uniform", this.#row(t)],
      ),
      grid: [1, 1, lanes],
      flops: 2 * count,
      bytes: 8 * count * lanes,
    });
  }

  #accumulate(
    sequence: Sequence,
    t: number,
    x: Block,
    count: number,
    from: View,
    to: View,
    weights: { decay: number; factor: number; scale: Coefficient },
  ): void {
    this.#dispatch(sequence, "accumulate", count, 3, accumulate(count, from, to, weights), [
      ["read", { block: x }],
      ["write", { block: this.hypergradient }],
      this.#coefficient(weights.scale),
      ["uniform", this.#row(t)],
    ]);
  }

  #clear(sequence: Sequence, block: Block, count: number, lane: number): void {
    this.#dispatch(sequence, "fill", count, 1, fill(0, count, { primal: { offset: 0, lane } }), [
      ["write", { block }],
    ]);
  }

  /** A learned coefficient is read from α. */
  #coefficient({ view }: Coefficient): ["read", Resource] | undefined {
    return view && ["read", { block: this.hyper }];
  }

  #row(t: number): Resource {
    return { block: this.#table, offset: OFFSET_ALIGNMENT * (t - 1), size: 16, dynamic: true };
  }

  /** A kernel over `count` elements of every lane that reads or writes `touched` numbers for each. */
  #dispatch(
    sequence: Sequence,
    label: string,
    count: number,
    touched: number,
    code: string,
    list: Parameters<typeof bindings>,
  ): void {
    const { lanes } = this.#problem;
    const bound: Binding[] = bindings(...list);
    const grid = [...linearGrid(count), lanes] as const;
    sequence.add({
      label,
      code,
      bindings: bound,
      grid,
      flops: touched * count,
      bytes: 4 * touched * count * lanes,
    });
  }
}
