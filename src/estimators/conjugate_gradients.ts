import {
  conjugateStart,
  conjugateStep,
  conjugateTurn,
  recordStart,
  recordStep,
  SOLVE_ROW,
  stepLength,
} from "../../shaders/conjugate_gradient.ts";
import { dot } from "../../shaders/lane_sum.ts";
import type { Unroll } from "../bilevel/unroll.ts";
import { Block } from "../gpu/block.ts";

export interface ConjugateOptions {
  /** Stops at ‖r‖ ≤ tolerance ‖g‖; a block holds a tolerance that changes between solves. */
  readonly tolerance: number | Block;
  /** Starts from what q is. */
  readonly warm: boolean;
}

/** Conjugate gradients on H q = g with g = p in `vectors.adjoint`, where the inner gradient was last computed. */
export class ConjugateGradients {
  readonly q: Block;
  /** `SOLVE_ROW` words a lane; see `solveOf`. */
  readonly solves: Block;
  readonly #unroll: Unroll;
  readonly #options: ConjugateOptions;
  readonly #residual: Block;
  readonly #direction: Block;
  /** a and b of each lane. */
  readonly #lengths: Block;
  readonly #ratios: Block;

  constructor(unroll: Unroll, options: ConjugateOptions) {
    this.#unroll = unroll;
    this.#options = options;
    this.q = unroll.vector("q");
    this.#residual = unroll.vector("residual");
    this.#direction = unroll.vector("conjugate direction");
    this.#lengths = new Block("cg lengths", "bookkeeping", 4 * unroll.lanes);
    this.#ratios = new Block("cg ratios", "bookkeeping", 4 * unroll.lanes);
    this.solves = new Block("solves", "bookkeeping", 4 * SOLVE_ROW * unroll.lanes);
  }

  /** One product with `warm`. */
  begin(): void {
    const unroll = this.#unroll;
    const { adjoint, curvature } = unroll.vectors;
    const { count, view } = unroll.flat;
    const { warm } = this.#options;
    const { tolerance, bound } = this.#tolerance();
    if (warm) unroll.frozenProduct(this.q, { parameters: true, hyper: false });
    unroll.sum({
      label: "cg begin",
      sum: conjugateStart(count, view, { warm }),
      operands: [
        ["read", { block: adjoint }],
        ["overwrite", { block: this.#residual }],
        ["overwrite", { block: this.#direction }],
        warm ? ["read", { block: curvature }] : ["overwrite", { block: this.q }],
      ],
      finish: recordStart(tolerance),
      results: [["overwrite", { block: this.solves }], bound],
      flops: 6,
    });
  }

  /** A product each; those after the end of the solve change nothing. */
  iterate(iterations: number): void {
    const unroll = this.#unroll;
    const { count, view } = unroll.flat;
    const { tolerance, bound } = this.#tolerance();
    const [q, r, d, product] = [this.q, this.#residual, this.#direction, unroll.vectors.curvature];
    const solves = ["write", { block: this.solves }] as const;
    for (let k = 0; k < iterations; k++) {
      unroll.frozenProduct(d, { parameters: true, hyper: false });
      unroll.sum({
        label: "cg curvature",
        sum: dot(count, view, view),
        operands: [
          ["read", { block: d }],
          ["read", { block: product }],
        ],
        finish: stepLength,
        results: [solves, ["overwrite", { block: this.#lengths }]],
        flops: 2,
      });
      unroll.sum({
        label: "cg step",
        sum: conjugateStep(count, view),
        operands: [
          ["read", { block: d }],
          ["read", { block: product }],
          ["write", { block: q }],
          ["write", { block: r }],
          ["read", { block: this.#lengths }],
        ],
        finish: recordStep(tolerance),
        results: [solves, ["overwrite", { block: this.#ratios }], bound],
        flops: 6,
      });
      unroll.elementwise("cg turn", 3, conjugateTurn(count, view), [
        ["read", { block: this.solves }],
        ["read", { block: r }],
        ["write", { block: d }],
        ["write", { block: q }],
        ["read", { block: this.#ratios }],
      ]);
    }
  }

  #tolerance() {
    const { tolerance } = this.#options;
    if (typeof tolerance === "number") return { tolerance, bound: undefined };
    return { tolerance: "bound" as const, bound: ["read", { block: tolerance }] as const };
  }
}
