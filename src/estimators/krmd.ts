import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";
import { reverseSweep } from "./sweep.ts";

/**
 * Reverse-mode through the last K steps alone (Shaban et al. 2019, §3): K products, K states stored.
 * @throws ProblemError when K < T and w_0 is a hyperparameter: its gradient needs the whole sweep.
 */
export function krmd({ k }: { k: number }): Estimator {
  if (!(Number.isInteger(k) && k > 0)) throw new ProblemError(`K is ${k}: give a whole number > 0`);
  return { name: "krmd", settings: { k }, ...truncated((steps) => Math.min(k, steps)) };
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
  return {
    slots: length,
    products: length,
    record(unroll) {
      unroll.innerLoop();
      reverseSweep(unroll, { length: length(unroll.steps) });
    },
  };
}
