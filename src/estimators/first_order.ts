import type { Estimator } from "../bilevel/estimator.ts";

/** h = ∇_α E(w_T, α) with w_T held fixed: no product at all. Zero where α enters the inner loss alone. */
export function firstOrder(): Estimator {
  return {
    name: "first-order",
    slots: () => 0,
    products: () => 0,
    record(unroll) {
      unroll.innerLoop();
      unroll.outerValue({ gradient: false, direct: "set" });
    },
  };
}
