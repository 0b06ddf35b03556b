import type { Estimator } from "../../src/bilevel/estimator.ts";
import { cg } from "../../src/estimators/cg.ts";
import { checkpointed } from "../../src/estimators/checkpointed.ts";
import { drmad } from "../../src/estimators/drmad.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { fmd } from "../../src/estimators/fmd.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { inexactGd, inexactHb } from "../../src/estimators/inexact_ad.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { neumann } from "../../src/estimators/neumann.ts";
import { reversible } from "../../src/estimators/reversible.ts";
import type { GoldenMethod } from "./golden.ts";

/** The golden solves that converge take 150 iterations at most; more would only be waited for. */
const MOST_ITERATIONS = 200;

/** The estimator that a golden method names, or undefined while there is none. */
export function estimatorOf({
  method,
  params,
}: Pick<GoldenMethod, "method" | "params">): Estimator | undefined {
  switch (method) {
    case "exact":
    case "rmd":
      return rmd();
    case "krmd":
      return krmd({ k: Number(params.K) });
    case "t1t2":
      return t1t2();
    case "greedy":
      return params.w0_term ? undefined : greedy({ gamma: Number(params.gamma) });
    case "first_order":
      return firstOrder();
    case "checkpointed":
      return checkpointed({ every: Number(params.every) });
    case "drmad":
      return drmad();
    case "reversible":
      return reversible();
    case "fmd":
      return fmd();
    case "neumann":
      return neumann({ terms: Number(params.N), step: stepOf(params) });
    case "cg":
      return cg({
        tolerance: Number(params.tol),
        iterations: Math.min(Number(params.maxiter), MOST_ITERATIONS),
      });
    case "inexact_ad_gd":
      return inexactGd({ iterations: Number(params.K), step: stepOf(params) });
    case "inexact_ad_hb":
      return inexactHb({
        iterations: Number(params.K),
        step: stepOf(params),
        momentum: Number(params.momentum),
      });
    default:
      return undefined;
  }
}

/**
 * Is the method refused where these groups are learned? A truncated sweep and the greedy sum have no term for w_0,
 * implicit differentiation knows neither the optimizer nor w_0, and the reversible loop needs to know μ beforehand.
 */
export function isRefused({ method, params }: GoldenMethod, groups: object, steps: number): boolean {
  switch (method) {
    case "krmd":
      return "w0" in groups && Number(params.K) < steps;
    case "t1t2":
    case "greedy":
      return "w0" in groups;
    case "neumann":
    case "cg":
    case "inexact_ad_gd":
    case "inexact_ad_hb":
      return "eta" in groups || "mu" in groups || "w0" in groups;
    case "reversible":
      return "mu" in groups;
    default:
      return false;
  }
}

function stepOf({ step }: GoldenMethod["params"]): number | undefined {
  return step === undefined ? undefined : Number(step);
}
