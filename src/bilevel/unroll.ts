import type { View } from "../../shaders/operand.ts";
import { Block, type Resource } from "../gpu/block.ts";
import { bindings, type Entry, Sequence } from "../gpu/dispatch.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { Columns } from "./columns.ts";
import { FixedPoint, type FixedPointOptions } from "./fixed_point.ts";
import type { RecordedSum } from "./lane_sums.ts";
import type { Problem } from "./problem.ts";
import { type Point, type ProductHalves, type Products, Programs } from "./programs.ts";
import { type Rate, startOf } from "./rate.ts";
import type { Supply } from "./supply.ts";
import { Vectors, type Weights } from "./vectors.ts";

/** With them the host's memory is about full. */
const MOST_STEPS = 100_000;

/** Blocks, and copies of what they held. */
export type Snapshot = ReadonlyMap<Block, Block>;

/**
 * The inner loop of a problem and the moves over it that estimators are written in. Every move appends kernels to
 * the sequence of one outer step; nothing runs until the sequence is built. The vectors are those of `Vectors`.
 */
export class Unroll {
  /** w ← w_0, v ← 0. */
  readonly begin = new Sequence("begin");
  readonly vectors: Vectors;
  /** q of an implicit estimator, as it leaves it. */
  solution: Block | undefined;
  /** What is to be done where the estimator makes h not finite, for the error that says so. */
  remedy: string | undefined;
  /** T */
  readonly steps: number;
  /** States that are stored, at most T. */
  readonly slots: number;

  readonly #problem: Problem;
  readonly #gpu: Gpu;
  readonly #programs: Programs;
  #main = new Sequence("unroll");
  #solve: Block | undefined;
  #range: number | undefined;
  /** The products that activations are kept for. */
  #kept: ProductHalves | undefined;

  constructor(problem: Problem, gpu: Gpu, slots: number) {
    this.#problem = problem;
    this.#gpu = gpu;
    this.steps = problem.steps;
    this.slots = Math.min(slots, problem.steps);
    if (problem.steps > MOST_STEPS)
      throw new ProblemError(
        `T is ${problem.steps}: an outer step is recorded as a whole, which takes the host some 30 KB for each inner step. Take at most ${MOST_STEPS}, and go on with mode: "warm"`,
      );
    this.#assertDispatchable(1);
    this.vectors = new Vectors(problem, this.slots, gpu);
    this.vectors.begin(this.begin);
    this.vectors.beginLoop(this.main);
    this.#programs = new Programs(problem, this.vectors, gpu);
    this.#programs.prelude(this.main, this.#current());
  }

  /** The inner loop and the estimator. */
  get main(): Sequence {
    return this.#main;
  }

  /** Records moves into a sequence of their own, for an algorithm that submits its parts as it needs them. */
  part(name: string, moves: () => void): Sequence {
    const whole = this.#main;
    const part = new Sequence(name);
    this.#main = part;
    moves();
    this.#main = whole;
    return part;
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
    const { lr, momentum } = this.rates;
    return [lr, momentum].some((rate) => rate !== undefined && "group" in rate);
  }

  /** η, and μ where there is momentum. */
  get rates(): { readonly lr: Rate; readonly momentum: Rate | undefined } {
    return this.#problem;
  }

  /** η where α starts: one number, or one for each step, lane after lane. */
  get startingRates(): ArrayLike<number> {
    return startOf(this.#problem.lr, this.#problem.hyper);
  }

  /** Is the inner rule just v = μ v + ∇L, w = w - η v? */
  get heavyBall(): boolean {
    return this.#problem.optimizer.heavyBall ?? false;
  }

  /** λ of the inner optimizer. */
  get weightDecay(): number {
    return this.#problem.optimizer.weightDecay;
  }

  /** Does the optimizer's adjoint itself, not only the terms of a learned η or μ, read a stored state? */
  get adjointReadsState(): boolean {
    return this.vectors.optimizer.readsTrajectory && !this.learnsOptimizer;
  }

  /** Does it, or do they? Then steps have to store the state. */
  get needsOptimizerState(): boolean {
    return this.vectors.optimizer.readsTrajectory;
  }

  /** E of each lane, `LOSS_LANE` elements apart. */
  get outerLoss(): Block {
    return this.#programs.outerLoss;
  }

  /** Settles where everything is in memory; called once, when all is recorded. */
  finish(): void {
    this.#programs.finish();
  }

  /** The programs, as tables. */
  explain(): string {
    return this.#programs.explain();
  }

  /**
   * Inner step t = 1 … T from w_{t-1} to w_t. With `store`, w_{t-1} goes to the ring; with `state` (as `store` if
   * not said) what the optimizer's adjoint needs of the step; with `activations` what `keptProduct` needs.
   */
  innerStep(
    t: number,
    { store, state = store, activations = false }: { store: boolean; state?: boolean; activations?: boolean },
  ): void {
    const point = this.#current(t);
    const gradient = activations
      ? this.#programs.keptGradient(this.main, point)
      : this.#programs.openGradient(this.main, point);
    this.vectors.optimizer.step(this.main, t, gradient, { parameters: store, state });
  }

  /** All T inner steps; the last `slots` states before a step are stored, and what `keepActivations` asked for. */
  innerLoop(): void {
    const { steps, slots } = this;
    const kept = this.#kept;
    for (let t = 1; t <= steps; t++) {
      const stored = t > steps - slots;
      const store = stored && (kept === undefined || this.readsState(kept));
      this.innerStep(t, { store, state: stored, activations: stored && kept !== undefined });
    }
  }

  /**
   * From now on the last `slots` inner steps of the loop keep their activations, for products of these halves at most
   * by `keptProduct`.
   */
  keepActivations(halves: ProductHalves): void {
    this.#kept = halves;
    this.#programs.keepActivations(halves, this.slots);
  }

  /** (H_ww r, H_αw r) of a step that kept its activations: they are not computed again. */
  keptProduct(t: number, halves: ProductHalves): Products {
    const point = { t, w: this.storedState(t - 1) };
    return this.#programs.keptProduct(this.main, point, this.vectors.direction, halves);
  }

  /** p ← g = ∇_w E at the current w. */
  outerGradient(): void {
    this.#programs.outerGradient(this.main, this.#current());
  }

  /**
   * At the end of the inner loop: E, with `gradient` also p ← g_T, and ∇_α E into h ("set") or aside, for
   * `addDirect` ("hold").
   */
  outerValue(wanted: { gradient: boolean; direct: "set" | "hold" }): void {
    this.#programs.outerValue(this.main, this.#current(), wanted);
  }

  /** h += the ∇_α E that was put aside. */
  addDirect(): void {
    if (!this.#problem.outer.traced.dependsOn.hyper) return;
    const { vectors } = this;
    vectors.addToHypergradient(this.main, this.steps, vectors.standing(vectors.direct, "a"));
  }

  /** h ← 0. */
  clearHypergradient(): void {
    this.vectors.clearHypergradient(this.main);
  }

  /**
   * From the product at t + 1, H_ww r, to r = dE/dg_t of the next one: p ← dE/dw_t, and the adjoint of step t. At
   * t = T no product went before. An open one went right before.
   */
  pullBack(t: number, { parameters = this.#curvature }: Partial<Products> = {}): void {
    const carry = t < this.steps;
    this.vectors.optimizer.pullBack(this.main, t, {
      ...{ after: carry ? parameters : undefined, before: true, carry },
    });
  }

  /** The same in two halves, with something between them. */
  pullBackAround(t: number, { parameters = this.#curvature }: Partial<Products>, between: () => void): void {
    const { optimizer } = this.vectors;
    optimizer.pullBack(this.main, t, { after: parameters, before: false, carry: true });
    between();
    optimizer.pullBack(this.main, t, { after: undefined, before: true, carry: true });
  }

  /** p ← dE/dw_0 after the last product, when all T steps were pulled back. It goes to h. */
  pullBackToStart({ parameters = this.#curvature }: Partial<Products> = {}): void {
    this.vectors.optimizer.pullBack(this.main, 0, { after: parameters, before: false, carry: false });
    this.vectors.addStart(this.main);
  }

  /** (H_ww r, H_αw r) of step t, at the stored w_{t-1} or `at` another place. */
  product(t: number, halves: ProductHalves, at: Resource = this.storedState(t - 1)): Products {
    return this.#programs.product(this.main, { t, w: at }, this.vectors.direction, halves);
  }

  /** w_t in the ring. */
  storedState(t: number): Resource {
    return this.vectors.storedParameters.slot(t);
  }

  /** A copy of w and of the optimizer's state as they are now. */
  save(label: string): Snapshot {
    const { parameters, optimizer } = this.vectors;
    const saved = [parameters, ...(optimizer.state ? [optimizer.state.block] : [])].map((block) => {
      const copy = new Block(`${block.label} ${label}`, "trajectory", block.bytes);
      this.vectors.copy(this.main, block, copy);
      return [block, copy] as const;
    });
    return new Map(saved);
  }

  /** w and the optimizer's state ← what they were. */
  restore(snapshot: Snapshot): void {
    for (const [block, copy] of snapshot) this.vectors.copy(this.main, copy, block);
  }

  /**
   * H_αw g at w_{t-1}, with `parameters` also H_ww g, right after `innerStep(t)` and `outerGradient()`: what the inner
   * gradient left in memory is not computed again. Where the inner optimizer is not plain SGD, its own r stands for g.
   */
  productAlongOuterGradient(t: number, halves: ProductHalves): Products {
    const { optimizer } = this.vectors;
    optimizer.pullOnce(this.main, t);
    const point = this.readsState(halves) ? { t, w: this.storedState(t - 1) } : this.#current(t);
    return this.#programs.frozenProduct(this.main, point, optimizer.once.vector, halves, "step");
  }

  /** Does a product that finds the activations in memory read w_{t-1} itself, beside them? */
  readsState(halves: ProductHalves): boolean {
    return this.#programs.readsState(halves);
  }

  /** With the product of `productAlongOuterGradient`, what E(w_t) owes α through step t alone. */
  get greedyWeights(): Weights {
    return this.vectors.optimizer.once.weights;
  }

  /** h ← decay h + weight H_αw r; if the product is open, right after it. */
  addMixed(t: number, weights: Weights = {}, { hyper = this.#mixed }: Partial<Products> = {}): void {
    if (this.hasMixed || (weights.decay !== undefined && weights.decay !== 1))
      this.vectors.addToHypergradient(this.main, t, this.hasMixed ? hyper : this.#mixed, weights);
  }

  get #curvature(): Supply {
    return this.vectors.standing(this.vectors.curvature, "w");
  }

  get #mixed(): Supply {
    return this.vectors.standing(this.vectors.mixed, "a");
  }

  /** Another vector like w, for an estimator's own use. */
  vector(label: string): Block {
    return this.vectors.vector(label);
  }

  /** y ← decay y + weight x, for vectors like w. */
  add(y: Block, x: Block, weights: Weights): void {
    this.vectors.add(this.main, this.steps, y, x, weights);
  }

  /** Lanes, the elements of a vector like w, and where they stand. */
  get lanes(): number {
    return this.#problem.lanes;
  }

  get flat(): { readonly count: number; readonly view: View } {
    return {
      count: this.#problem.leaves.parameterLayout.size,
      view: { offset: 0, lane: this.vectors.lane.w },
    };
  }

  /** Sums over vectors like w, and what is made of them, one in each lane. */
  sum(given: Omit<RecordedSum, "lanes">): void {
    this.vectors.sums.record(this.main, { ...given, lanes: this.lanes });
  }

  /** A kernel of an estimator's own over the elements of vectors like w; `touched` numbers of each. */
  elementwise(label: string, touched: number, code: string, list: readonly Entry[]): void {
    this.vectors.dispatch(this.main, label, this.flat.count, touched, code, list);
  }

  /** A kernel of an estimator's own, a workgroup for each lane. */
  perLane(label: string, code: string, flops: number, list: readonly Entry[]): void {
    this.main.add({
      label,
      code,
      bindings: bindings(...list),
      grid: [1, 1, this.lanes],
      flops,
      bytes: 4 * flops * this.lanes,
    });
  }

  /** The record of a linear solve, `SOLVE_ROW` words a lane, is to appear in the log. */
  reportSolve(record: Block): void {
    this.#solve = record;
  }

  get solve(): Block | undefined {
    return this.#solve;
  }

  /** ± what w and v have to stay in, where the inner loop runs in whole numbers. */
  get range(): number | undefined {
    return this.#range;
  }

  /** ∇L of step t at the current w, whose activations `frozenProduct` then reuses. */
  innerGradient(t = this.steps): void {
    this.#programs.innerGradient(this.main, this.#current(t));
  }

  /** (H_ww x, H_αw x) where `innerGradient` was last computed: tangents alone, as all values are in memory. */
  frozenProduct(x: Block, halves: ProductHalves, t = this.steps): Products {
    return this.#programs.frozenProduct(this.main, this.#current(t), x, halves, "gradient");
  }

  /** The inner loop in whole numbers. */
  fixedPoint(options: FixedPointOptions): FixedPoint {
    this.#range = options.range;
    return new FixedPoint(this.#problem, this.vectors, options, this.#gpu.device.limits.maxBufferSize);
  }

  /** Vectors like w to be pushed through products side by side. */
  columns(count: number): Columns {
    this.#assertDispatchable(count);
    return new Columns({ count, lanes: this.lanes }, this.vectors.lane, 0);
  }

  /** H_ww ẇ of all columns where `innerGradient` was last computed, at the current w. */
  columnProducts(columns: Columns): void {
    this.#programs.columnProducts(this.main, this.#current(), columns, "gradient");
  }

  /**
   * dE/dη_t += -⟨p, v_t⟩ and dE/dμ_t += ⟨r, v_{t-1}⟩ in the reverse sweep; `newest`: step t is the one that the inner
   * loop ran last, so that v_t is where it left it.
   */
  addOptimizerTerms(t: number, { newest = t === this.steps }: { newest?: boolean } = {}): void {
    this.vectors.optimizer.addTerms(this.main, t, newest);
  }

  /** The same right after inner step t, with p for the adjoint and -η_t p for r. */
  addOptimizerTermsForward(t: number): void {
    this.vectors.optimizer.addTermsOnce(this.main, t);
  }

  /**
   * dw/dα and the same of the optimizer's state, a column for each element of α; at the start dw_0/dα and zero.
   * `carried`: the inner loop goes on where the last one ended, and so do they.
   */
  jacobian({ carried }: { carried: boolean }): Columns {
    const { leaves, lanes, start } = this.#problem;
    const { hyperLayout, parameterLayout } = leaves;
    const count = hyperLayout.size;
    this.#assertDispatchable(count);
    const goesOn = carried && this.vectors.optimizer.continues;
    const state = this.vectors.stateTangent(goesOn ? this.begin : this.main, count);
    const along = this.hasMixed ? count : 0;
    const columns = new Columns({ count, lanes }, this.vectors.lane, along, state);
    columns.clearHyper(this.main);
    const first = start === undefined ? undefined : hyperLayout.offset(start);
    columns.clearParameters(carried ? this.begin : this.main, parameterLayout.size, first);
    return columns;
  }

  /** The Jacobian after inner step t, right after the step, which has to store the state before it. */
  pushForward(t: number, jacobian: Columns): void {
    this.#programs.columnProducts(this.main, { t, w: this.storedState(t - 1) }, jacobian, "step");
    this.vectors.optimizer.pushForward(this.main, t, jacobian);
  }

  /** h += ⟨p, ẇ⟩ of each column. */
  addJacobian({ parameters, count }: Columns): void {
    this.vectors.addColumnDots(this.main, parameters, count);
  }

  /** Lanes and columns are the third dimension of a grid. @throws ProblemError where it is too small */
  #assertDispatchable(columns: number): void {
    const most = this.#gpu.device.limits.maxComputeWorkgroupsPerDimension;
    if (columns * this.lanes > most) {
      const each = columns > 1 ? ` with ${columns} columns each` : "";
      const instead = columns > 1 ? ", or an estimator without columns, as rmd()" : "";
      throw new ProblemError(
        `${this.lanes} lanes${each} are more than the ${most} that the adapter takes side by side: take fewer${instead}`,
      );
    }
  }

  /** w as it is now, with the batch of step t. */
  #current(t = this.steps): Point {
    return { t, w: { block: this.vectors.parameters } };
  }
}
