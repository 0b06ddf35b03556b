import { type Sgd, sgdAdjoint, sgdMove, sgdStep, sgdTangent } from "../../shaders/sgd_step.ts";
import { Block, type Resource } from "../gpu/block.ts";
import type { Entry, Sequence } from "../gpu/dispatch.ts";
import { assertKnown } from "../gpu/known.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import type {
  InnerKernels,
  InnerOptimizer,
  PullBack,
  RingMaker,
  State,
  Tangents,
} from "./inner_optimizer.ts";
import type { Problem } from "./problem.ts";
import { coefficientOf, type Rate } from "./rate.ts";
import type { Supply } from "./supply.ts";
import type { Trajectory } from "./trajectory.ts";
import type { Vectors, Weights } from "./vectors.ts";

interface SgdRule {
  /** w_t = w_{t-1} - η (g_t + μ v_t), as in PyTorch; it needs a momentum, and neither it nor η may be learned. */
  readonly nesterov?: boolean;
  /** λ; λ w is added to the gradient. Default 0. */
  readonly weightDecay?: number;
}

/**
 * Gradient descent with momentum, v_t = μ v_{t-1} + g_t, w_t = w_{t-1} - η v_t, without dampening. η and μ are
 * numbers, μ below 1, or name a group of hyperparameters that holds one value or one for each inner step.
 * @throws ProblemError
 */
export function sgd(options: { lr: number; momentum?: number } & SgdRule): InnerOptimizer<never>;
export function sgd<const H extends string>(
  options: { lr: number | H; momentum?: number | H } & SgdRule,
): InnerOptimizer<H>;
export function sgd(options: { lr: number | string; momentum?: number | string } & SgdRule): InnerOptimizer {
  assertKnown("sgd", options, { lr: true, momentum: true, nesterov: true, weightDecay: true });
  const { lr, momentum = 0, nesterov = false, weightDecay = 0 } = options;
  if (!(Number.isFinite(weightDecay) && weightDecay >= 0))
    throw new ProblemError(`weightDecay is ${weightDecay}: give a number ≥ 0`);
  if (nesterov && momentum === 0)
    throw new ProblemError("Nesterov's rule needs a momentum: give one > 0, or leave nesterov out");
  if (nesterov && (typeof lr === "string" || typeof momentum === "string"))
    throw new ProblemError("lr and momentum cannot be learned with nesterov: give numbers, or leave it out");
  return {
    name: nesterov ? "nesterov" : "sgd",
    ...{ lr, momentum, weightDecay },
    heavyBall: !nesterov && weightDecay === 0,
    prepare: (problem, vectors, ring) =>
      new SgdKernels(problem, vectors, ring, { nesterov, decay: weightDecay }),
  };
}

class SgdKernels implements InnerKernels {
  readonly state: State | undefined;
  readonly continues = true;
  readonly readsTrajectory: boolean;
  readonly once: InnerKernels["once"];
  readonly buffers: InnerKernels["buffers"];
  readonly #vectors: Vectors;
  readonly #lanes: number;
  readonly #rule: Sgd;
  readonly #rates: { readonly lr: Rate; readonly momentum: Rate };
  /** v_{t-1}, where η or μ is learned. */
  readonly #stored: Trajectory | undefined;

  constructor(
    { leaves, lanes, lr, momentum = { value: 0 } }: Problem,
    vectors: Vectors,
    ring: RingMaker,
    { nesterov, decay }: { nesterov: boolean; decay: number },
  ) {
    this.#vectors = vectors;
    this.#rates = { lr, momentum };
    this.#lanes = lanes;
    const learned = "group" in lr || "group" in momentum;
    const velocity = learned || !("value" in momentum && momentum.value === 0);
    const [rate, mu] = [coefficientOf(lr), coefficientOf(momentum)];
    const { w } = vectors.lane;
    const count = leaves.parameterLayout.size;
    this.#rule = { count, lane: w, rate, momentum: mu, velocity, nesterov, decay };
    this.state = velocity ? { block: new Block("v", "momentum", 4 * w * lanes), vectors: 1 } : undefined;
    this.readsTrajectory = learned;
    const coefficients = [rate, mu].filter(({ view }) => view !== undefined).length;
    this.buffers = {
      step: 3 + Number(velocity) + Number(learned) + coefficients,
      pullBack: 2 + coefficients,
    };
    this.#stored = learned ? ring("v") : undefined;
    const weights: Weights = nesterov
      ? { factor: -(rate.literal ?? 0) * (1 + (mu.literal ?? 0)) }
      : { factor: -1, rate: true };
    this.once = { vector: vectors.adjoint, weights };
  }

  step(
    sequence: Sequence,
    t: number,
    gradient: Supply,
    { parameters, state }: { parameters: boolean; state: boolean },
  ): void {
    const vectors = this.#vectors;
    const { count, rate, momentum } = this.#rule;
    const velocity = state && this.#stored !== undefined;
    vectors.take(sequence, gradient, {
      ...{ label: "inner step", count, touched: this.state ? 4 : 2 },
      atHand: { w: "w" },
      kernel: (prologue) => sgdStep(this.#rule, { parameters, velocity }, prologue),
      list: [
        ["write", { block: vectors.parameters }],
        this.state && ["write", { block: this.state.block }],
        parameters ? ["overwrite", vectors.storedParameters.slot(t - 1)] : undefined,
        velocity ? ["overwrite", this.#stored!.slot(t - 1)] : undefined,
        vectors.coefficient(rate),
        this.state && vectors.coefficient(momentum),
        ["uniform", vectors.row(t)],
        ["write", { block: vectors.status }],
      ],
    });
  }

  pullBack(sequence: Sequence, t: number, { after, before, carry }: PullBack): void {
    const vectors = this.#vectors;
    const { count, rate, momentum } = this.#rule;
    const move = { after: after !== undefined, before, carry };
    const { moves, readsR, usesR } = sgdMove(this.#rule, move);
    vectors.take(sequence, after, {
      ...{ label: "adjoint step", count, touched: 3 },
      atHand: usesR ? { direction: "r_old" } : {},
      kernel: (prologue) => sgdAdjoint(this.#rule, move, prologue),
      list: [
        ["write", { block: vectors.adjoint }],
        usesR ? [readsR ? "write" : "overwrite", { block: vectors.direction }] : undefined,
        before ? vectors.coefficient(rate) : undefined,
        moves ? vectors.coefficient(momentum) : undefined,
        before || moves ? ["uniform", vectors.row(t)] : undefined,
      ],
    });
  }

  pullOnce(): void {}

  /** dE/dη_t += -⟨p, v_t⟩ and dE/dμ_t += ⟨r, v_{t-1}⟩. */
  addTerms(sequence: Sequence, t: number, newest: boolean): void {
    const { adjoint, direction } = this.#vectors;
    this.#addTerm(sequence, t, "lr", adjoint, newest ? this.#newest() : this.#stored?.slot(t), {
      factor: -1,
    });
    this.#addTerm(sequence, t, "momentum", direction, this.#stored?.slot(t - 1), {});
  }

  /** The same with -η_t p for r. */
  addTermsOnce(sequence: Sequence, t: number): void {
    const { adjoint } = this.#vectors;
    this.#addTerm(sequence, t, "lr", adjoint, this.#newest(), { factor: -1 });
    this.#addTerm(sequence, t, "momentum", adjoint, this.#stored?.slot(t - 1), this.once.weights);
  }

  pushForward(sequence: Sequence, t: number, tangents: Tangents): void {
    const vectors = this.#vectors;
    const { count: columns, parameters, gradient, state } = tangents;
    const { count, rate, momentum } = this.#rule;
    const lanes = this.#lanes;
    const code = sgdTangent(this.#rule, { lanes });
    const list: readonly Entry[] = [
      ["write", { block: parameters }],
      ["read", { block: gradient }],
      this.state && ["write", { block: state! }],
      rate.view && ["read", this.#newest()!],
      momentum.view && ["read", this.#stored!.slot(t - 1)],
      vectors.coefficient(rate),
      this.state && vectors.coefficient(momentum),
      ["uniform", vectors.row(t)],
    ];
    vectors.dispatch(sequence, "tangent step", count, this.state ? 5 : 3, code, list, columns * lanes);
  }

  #newest(): Resource | undefined {
    return this.state && { block: this.state.block };
  }

  /** h_coefficient += weight ⟨a, b⟩, if the coefficient is learned. */
  #addTerm(
    sequence: Sequence,
    t: number,
    name: "lr" | "momentum",
    a: Block,
    b: Resource | undefined,
    weights: Weights,
  ): void {
    const rate = this.#rates[name];
    if ("group" in rate && b) this.#vectors.addDot(sequence, t, a, b, rate, weights);
  }
}
