import type { Estimator } from "../../src/bilevel/estimator.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
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
    default:
      return undefined;
  }
}
