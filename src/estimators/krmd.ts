import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";
import type { Unroll } from "../bilevel/unroll.ts";

/**
 * Reverse-mode through the last K steps alone (Shaban et al. 2019, §3): K products, K states stored.
 * @throws ProblemError when K < T and w_0 is a hyperparameter: its gradient needs the whole sweep.
 */
export function krmd({ k }: { k: number }): Estimator {
  if (!(Number.isInteger(k) && k > 0)) throw new ProblemError(`K is ${k}: give a whole number > 0`);
  return { name: "krmd", ...truncated((steps) => Math.min(k, steps)) };
}

/** Exact reverse-mode (Franceschi et al. 2017, "Reverse-HG"): T products, T states stored. */
export function rmd(): Estimator {
  return { name: "rmd", ...truncated((steps) => steps) };
}

/** One step of truncated back-propagation, "T1–T2" (Luketina et al. 2016): K-RMD with K = 1. */
export function t1t2(): Estimator {
  return { name: "t1t2", ...truncated(() => 1) };
}

function truncated(length: (steps: number) => number): Omit<Estimator, "name"> {
  return { slots: length, products: length, record: (unroll) => sweep(unroll, length(unroll.steps)) };
}

/** p = g_T, q = 0, h = ∇_α E; for t = T … T-K+1: r = q - η p; (Hr, m) = P_t(r); h += m; p += Hr; q = μ r. */
function sweep(unroll: Unroll, length: number): void {
  const { steps, learnsStart } = unroll;
  if (learnsStart && length < steps) {
    throw new ProblemError(
      `w_0 is a hyperparameter and only ${length} of ${steps} steps are swept: its gradient is not defined then. Use rmd(), or K = ${steps}`,
    );
  }
  unroll.innerLoop();
  unroll.outerValue({ gradient: true, direct: "set" });
  for (let t = steps; t > steps - length; t--) {
    const more = t > steps - length + 1 || learnsStart;
    unroll.pullBack(t);
    unroll.addOptimizerTerms(t);
    unroll.product(t, { parameters: more, hyper: true });
    unroll.addMixed(t);
  }
  if (learnsStart) unroll.pullBackToStart();
}
