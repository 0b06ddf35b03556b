import { ProblemError } from "../bilevel/problem.ts";
import type { ProductHalves, Products } from "../bilevel/programs.ts";
import type { Unroll } from "../bilevel/unroll.ts";

export interface SweepOptions {
  /** K, steps to go back from T. */
  readonly length: number;
  /** Makes (H_ww r, H_αw r) of step t; at the state in the ring when absent. */
  readonly product?: (t: number, halves: ProductHalves) => Products;
  /** What brings back what the adjoint of step t reads, if anything is to be. */
  readonly before?: (t: number) => (() => void) | undefined;
  /** Adds what step t gives to the hypergradients of η and μ, after r is known. */
  readonly optimizerTerms?: (t: number) => void;
}

/**
 * The reverse loop after the inner loop ran: p = g_T, q = 0, h = ∇_α E; for t = T … T-K+1: r = q - η p;
 * (Hr, m) = P_t(r); h += m; p += Hr; q = μ r; and after all T steps h += (dw_0/dα)ᵀ p.
 * @throws ProblemError when K < T and w_0 is a hyperparameter: its gradient needs the whole sweep.
 */
export function reverseSweep(
  unroll: Unroll,
  {
    length,
    product = (t, halves) => unroll.product(t, halves),
    before = () => undefined,
    optimizerTerms = (t) => unroll.addOptimizerTerms(t),
  }: SweepOptions,
): void {
  const { steps, learnsStart } = unroll;
  if (learnsStart && length < steps) {
    throw new ProblemError(
      `w_0 is a hyperparameter and only ${length} of ${steps} steps are swept: its gradient is not defined then. Use rmd(), or K = ${steps}`,
    );
  }
  unroll.outerValue({ gradient: true, direct: "set" });
  let made: Products | undefined;
  for (let t = steps; t > steps - length; t--) {
    const more = t > steps - length + 1 || learnsStart;
    const bringBack = before(t);
    if (bringBack && made) unroll.pullBackAround(t, made, bringBack);
    else unroll.pullBack(t, made);
    optimizerTerms(t);
    made = product(t, { parameters: more && "open", hyper: "open" });
    unroll.addMixed(t, {}, made);
  }
  if (learnsStart) unroll.pullBackToStart(made);
}
