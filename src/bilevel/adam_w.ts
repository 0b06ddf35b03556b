import { type AdamW, adamWAdjoint, adamWStep, adamWTangent } from "../../shaders/adam_w_step.ts";
import { Block } from "../gpu/block.ts";
import type { Entry, Sequence } from "../gpu/dispatch.ts";
import { assertKnown } from "../gpu/known.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { assertNormal } from "./float32.ts";
import type {
  InnerKernels,
  InnerOptimizer,
  PullBack,
  RingMaker,
  State,
  Tangents,
} from "./inner_optimizer.ts";
import type { Problem } from "./problem.ts";
import type { Supply } from "./supply.ts";
import type { Trajectory } from "./trajectory.ts";
import type { Vectors } from "./vectors.ts";

type Options = Pick<AdamW, "lr"> & Partial<Pick<AdamW, "beta1" | "beta2" | "epsilon" | "weightDecay">>;

/**
 * Adam (Kingma & Ba 2015) for the inner steps, with decoupled weight decay (Loshchilov & Hutter 2019):
 * w ← (1 - η λ) w - η m̂ / (√ŝ + ε). The moments start at zero in every inner loop, also where w is warm-started, as
 * the bias correction counts the steps of the loop. A stored step takes four vectors like w: w, m, s and the
 * gradient. The derivative of √ŝ counts as zero where ŝ = 0.
 * @throws ProblemError for constants outside their range; η cannot be learned.
 */
export function adamW(options: Options): InnerOptimizer<never> {
  assertKnown("adamW", options, { lr: true, beta1: true, beta2: true, epsilon: true, weightDecay: true });
  const { lr, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  if (typeof lr !== "number")
    throw new ProblemError(`adamW's lr is "${lr}": a learned rate needs sgd(); give a number`);
  for (const [name, decay] of Object.entries({ beta1, beta2 })) {
    if (!(decay >= 0 && decay < 1))
      throw new ProblemError(`adamW's ${name} is ${decay}: give a number in [0, 1)`);
  }
  assertNormal("adamW's epsilon", epsilon);
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
    throw new ProblemError(`adamW's weightDecay is ${weightDecay}: give a number ≥ 0`);
  const constants = { lr, beta1, beta2, epsilon, weightDecay };
  return {
    name: "adamW",
    ...{ lr, weightDecay },
    settings: { beta1, beta2, epsilon },
    constants: (t) => [1 / (1 - beta1 ** t), 1 / (1 - beta2 ** t)],
    prepare: (problem, vectors, ring) => new AdamWKernels(problem, vectors, ring, constants),
  };
}

class AdamWKernels implements InnerKernels {
  readonly state: State;
  readonly continues = false;
  readonly readsTrajectory = true;
  readonly once: InnerKernels["once"];
  readonly buffers = { step: 5, pullBack: 4 };
  readonly #vectors: Vectors;
  readonly #adam: AdamW;
  /** m_{t-1}, s_{t-1} and g_t; the slot is that of state t - 1. */
  readonly #stored: Trajectory;
  /** The adjoints of m and s. */
  readonly #momentAdjoint: Block;

  constructor({ leaves, lanes }: Problem, vectors: Vectors, ring: RingMaker, constants: Required<Options>) {
    this.#vectors = vectors;
    const lane = vectors.lane.w;
    this.#adam = { ...constants, count: leaves.parameterLayout.size, lane, lanes };
    this.state = { block: new Block("m, s", "momentum", 8 * lane * lanes), vectors: 2 };
    this.#momentAdjoint = new Block("adjoint of m, s", "adjoint", 8 * lane * lanes);
    this.#stored = ring("m, s, g", 3);
    this.once = { vector: vectors.direction, weights: {} };
  }

  step(
    sequence: Sequence,
    t: number,
    gradient: Supply,
    store: { parameters: boolean; state: boolean },
  ): void {
    const vectors = this.#vectors;
    const touched = 6 + (store.parameters ? 1 : 0) + (store.state ? 3 : 0);
    vectors.take(sequence, gradient, {
      ...{ label: "inner step", count: this.#adam.count, touched },
      atHand: { w: "w" },
      kernel: (prologue) => adamWStep(this.#adam, store, prologue),
      list: [
        ["write", { block: vectors.parameters }],
        ["write", { block: this.state.block }],
        store.parameters ? ["overwrite", vectors.storedParameters.slot(t - 1)] : undefined,
        store.state ? ["overwrite", this.#stored.slot(t - 1)] : undefined,
        ["uniform", vectors.row(t)],
        ["write", { block: vectors.status }],
      ],
    });
  }

  pullBack(sequence: Sequence, t: number, move: PullBack): void {
    this.#adjoint(sequence, t, { ...move, keepsMoments: true });
  }

  pullOnce(sequence: Sequence, t: number): void {
    this.#adjoint(sequence, t, { after: undefined, before: true, carry: false, keepsMoments: false });
  }

  /** No coefficient is learned. */
  addTerms(): void {}
  addTermsOnce(): void {}

  pushForward(
    sequence: Sequence,
    t: number,
    { count: columns, parameters, gradient, state }: Tangents,
  ): void {
    const vectors = this.#vectors;
    const { count, lanes } = this.#adam;
    const code = adamWTangent(this.#adam, columns);
    const list: readonly Entry[] = [
      ["write", { block: parameters }],
      ["read", { block: gradient }],
      ["write", { block: state! }],
      ["read", this.#stored.slot(t - 1)],
      ["uniform", vectors.row(t)],
    ];
    vectors.dispatch(sequence, "tangent step", count, 10, code, list, columns * lanes);
  }

  #adjoint(
    sequence: Sequence,
    t: number,
    { after, before, carry, keepsMoments }: PullBack & { readonly keepsMoments: boolean },
  ): void {
    const vectors = this.#vectors;
    const between = { after: after !== undefined, before, carry, keepsMoments };
    vectors.take(sequence, after, {
      ...{ label: "adjoint step", count: this.#adam.count, touched: before ? 9 : 2 },
      atHand: before ? { direction: "r_old" } : {},
      kernel: (prologue) => adamWAdjoint(this.#adam, between, prologue),
      list: [
        ["write", { block: vectors.adjoint }],
        before ? [after ? "write" : "overwrite", { block: vectors.direction }] : undefined,
        before ? ["read", this.#stored.slot(t - 1)] : undefined,
        before && keepsMoments ? [carry ? "write" : "overwrite", { block: this.#momentAdjoint }] : undefined,
        before ? ["uniform", vectors.row(t)] : undefined,
      ],
    });
  }
}
