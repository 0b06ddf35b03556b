import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";
import { assertKnown } from "../gpu/known.ts";
import { reverseSweep } from "./sweep.ts";

/** What of a step is stored. */
export interface Store {
  /**
   * Its activations too, all that its product reads: the product does not compute them again, which saves it a forward
   * pass and takes their memory once for each stored step. Without it the product starts from w_{t-1}.
   */
  readonly store?: "activations" | undefined;
}

/**
 * Reverse-mode through the last K steps alone (Shaban et al. 2019, §3): K products, and K states stored unless `store` has
 * all that the products read.
 * @throws ProblemError when K > T, or K < T and w_0 is a hyperparameter: its gradient needs the whole sweep.
 */
export function krmd(options: { k: number } & Store): Estimator {
  assertKnown("krmd", options, { k: true, store: true });
  const { k, store } = options;
  if (!(Number.isInteger(k) && k > 0)) throw new ProblemError(`K is ${k}: give a whole number > 0`);
  return { name: "krmd", settings: { k, store }, ...truncated((steps) => lastOf(steps, k), { store }) };
}

/** Exact reverse-mode (Franceschi et al. 2017, "Reverse-HG"): T products, T states stored. @throws ProblemError */
export function rmd(options: Store = {}): Estimator {
  assertKnown("rmd", options, { store: true });
  const { store } = options;
  return { name: "rmd", settings: { store }, ...truncated((steps) => steps, { store }) };
}

/**
 * One step of truncated back-propagation, "T1–T2" (Luketina et al. 2016): K-RMD with K = 1. The activations of that one
 * step are stored.
 */
export function t1t2(): Estimator {
  return { name: "t1t2", ...truncated(() => 1, { store: "activations" }) };
}

/** K of so many steps. @throws ProblemError where there are not so many */
function lastOf(steps: number, k: number): number {
  if (k <= steps) return k;
  throw new ProblemError(
    `K is ${k} and T is ${steps}: give K = ${steps} at most, or use rmd() for all steps`,
  );
}

/** @throws ProblemError for a store that there is not */
function truncated(length: (steps: number) => number, { store }: Store): Omit<Estimator, "name"> {
  if (store !== undefined && store !== "activations")
    throw new ProblemError(`store is ${JSON.stringify(store)}: give "activations", or leave it out`);
  return {
    slots: length,
    products: length,
    record(unroll) {
      const steps = length(unroll.steps);
      if (store === "activations")
        unroll.keepActivations({ parameters: (steps > 1 || unroll.learnsStart) && "open", hyper: "open" });
      unroll.innerLoop();
      reverseSweep(unroll, {
        length: steps,
        ...(store && { product: (t, halves) => unroll.keptProduct(t, halves) }),
      });
    },
  };
}
