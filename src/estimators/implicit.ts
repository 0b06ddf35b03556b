import type { Estimator, ProductSizes } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";
import type { Settings } from "../bilevel/settings.ts";
import type { Unroll } from "../bilevel/unroll.ts";
import type { Block } from "../gpu/block.ts";

export interface ImplicitEstimator {
  readonly name: string;
  readonly settings: Settings;
  /** Hessian products of the linear solver. */
  products(sizes: ProductSizes): number;
  /** What is to be done where its iterates may leave float32. */
  readonly remedy?: string;
  /** Records a solver of H q = g, with g = p in `vectors.adjoint` and H = H_ww(w_T) linearized; returns q. */
  solve(unroll: Unroll): Block;
}

/**
 * Implicit differentiation: h = ∇_α E - H_αw q, where q solves H_ww q = ∇_w E, everything at w_T (Bengio 2000;
 * Pedregosa 2016). Right where ∇_w L(w_T) = 0, an approximation elsewhere. With mini-batches H_ww and H_αw are those of
 * the last one.
 * @throws ProblemError when w_0, η or μ is a hyperparameter: a minimiser does not depend on how it was reached;
 * or with weight decay in the optimizer.
 */
export function implicit({ name, settings, products, remedy, solve }: ImplicitEstimator): Estimator {
  return {
    name,
    settings,
    slots: () => 0,
    products: (_steps, sizes) => products(sizes) + 1,
    record(unroll) {
      assertMinimiser(unroll, name);
      unroll.remedy = remedy;
      unroll.innerLoop();
      unroll.outerValue({ gradient: true, direct: "set" });
      unroll.innerGradient();
      const q = solve(unroll);
      unroll.solution = q;
      const product = unroll.frozenProduct(q, { parameters: false, hyper: "open" });
      unroll.addMixed(unroll.steps, { factor: -1 }, product);
    },
  };
}

/** @throws ProblemError where w_T is no minimiser of the inner loss, or α reaches it on another way than that loss. */
export function assertMinimiser(unroll: Unroll, name: string): void {
  if (unroll.learnsStart || unroll.learnsOptimizer) {
    const what = unroll.learnsStart ? "w_0" : "η or μ";
    throw new ProblemError(
      `${what} is a hyperparameter: ${name} takes w_T for a minimiser, which does not depend on it. Use rmd()`,
    );
  }
  if (unroll.weightDecay > 0)
    throw new ProblemError(
      `the inner optimizer's weight decay leads away from the minimiser of the loss that ${name} differentiates: put it into the loss as a squared norm`,
    );
}

/** The remedy of a solver by iteration that counts its `terms` or `iterations`. */
export function shorterStep(name: string, counted: string): string {
  return `Where its step is too long for the curvature of the inner loss, the iterates of ${name} grow: give it a smaller step, or fewer ${counted}; curvature() tells the largest eigenvalue of H_ww`;
}

/**
 * The step of a solver by iteration: the given one, or η_T of sgd().
 * @throws ProblemError for a step that is not > 0, at once; when recorded, where none is given and η_T is none
 */
export function stepOf(
  name: string,
  step: number | undefined,
): (unroll: Unroll) => { factor: number; rate: boolean } {
  if (step === undefined) {
    return (unroll) => {
      assertStep(unroll, name);
      return { factor: 1, rate: true };
    };
  }
  if (!(Number.isFinite(step) && step > 0))
    throw new ProblemError(`the solver's step is ${step}: give a number > 0`);
  return () => ({ factor: step, rate: false });
}

/** @throws ProblemError where η_T is no step along a gradient */
function assertStep({ adjointReadsState, startingRates }: Unroll, name: string): void {
  const remedy = `give ${name} a step of its own, below 2 over the largest curvature that curvature() tells`;
  if (adjointReadsState)
    throw new ProblemError(`the inner optimizer is adaptive, so its η is no step for ${name}: ${remedy}`);
  if (startingRates[0] === 0) throw new ProblemError(`the inner η is 0, no step for ${name}: ${remedy}`);
}
