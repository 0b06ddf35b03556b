import { conjugateBegin, conjugateStep, SOLVE_ROW } from "../../shaders/conjugate_gradient.ts";
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

  constructor(unroll: Unroll, options: ConjugateOptions) {
    this.#unroll = unroll;
    this.#options = options;
    this.q = unroll.vector("q");
    this.#residual = unroll.vector("residual");
    this.#direction = unroll.vector("conjugate direction");
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
    unroll.perLane("cg begin", conjugateBegin(count, view, { tolerance, warm }), 6 * count, [
      ["overwrite", { block: this.solves }],
      ["read", { block: adjoint }],
      [warm ? "write" : "overwrite", { block: this.q }],
      ["overwrite", { block: this.#residual }],
      ["overwrite", { block: this.#direction }],
      warm ? ["read", { block: curvature }] : undefined,
      bound,
    ]);
  }

  /** A product each; those after the end of the solve change nothing. */
  iterate(iterations: number): void {
    const unroll = this.#unroll;
    const { count, view } = unroll.flat;
    const { tolerance, bound } = this.#tolerance();
    const step = conjugateStep(count, view, { tolerance });
    for (let k = 0; k < iterations; k++) {
      unroll.frozenProduct(this.#direction, { parameters: true, hyper: false });
      unroll.perLane("cg step", step, 10 * count, [
        ["write", { block: this.solves }],
        ["read", { block: unroll.vectors.curvature }],
        ["write", { block: this.q }],
        ["write", { block: this.#residual }],
        ["write", { block: this.#direction }],
        bound,
      ]);
    }
  }

  #tolerance() {
    const { tolerance } = this.#options;
    if (typeof tolerance === "number") return { tolerance, bound: undefined };
    return { tolerance: "bound" as const, bound: ["read", { block: tolerance }] as const };
  }
}
