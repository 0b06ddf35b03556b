import type { Estimator } from "../../src/bilevel/estimator.ts";
import { cg } from "../../src/estimators/cg.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { inexactGd, inexactHb } from "../../src/estimators/inexact_ad.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { neumann } from "../../src/estimators/neumann.ts";
import type { GoldenMethod } from "./golden.ts";

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
    case "neumann":
      return neumann({ terms: Number(params.N), step: stepOf(params) });
    case "cg":
      return cg({ tolerance: Number(params.tol), iterations: Number(params.maxiter) });
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

/** Implicit differentiation knows no hyperparameters of the optimizer and none in w_0: it refuses them. */
export function isImplicit(method: string): boolean {
  return ["neumann", "cg", "inexact_ad_gd", "inexact_ad_hb"].includes(method);
}

function stepOf({ step }: GoldenMethod["params"]): number | undefined {
  return step === undefined ? undefined : Number(step);
}
