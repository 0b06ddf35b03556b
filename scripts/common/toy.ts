/** The two-dimensional problem of Shaban et al. 2019, §4.1, and how an estimator fares on it. */
import {
  add,
  bilevel,
  Comparison,
  closeness,
  type Estimator,
  type Gpu,
  hypergradient,
  mul,
  type OuterOptimizer,
  optimize,
  type Problem,
  scale,
  sgd,
  sin,
  square,
  squaredNorm,
  sub,
  sum,
  type Values,
  values,
} from "../../src/index.ts";

/** Eigenvalues of the inner loss, w_0 and the first α, all from the paper. */
const G = [1, 0.5];
const W0 = [2, 2];
const ALPHA0 = [1, 1];

export interface ToyOptions {
  /** f = ‖w‖² + 10 ‖sin w‖², or f̃ = f + 5 ‖α - (1, 0)‖². */
  readonly outerLoss: "f" | "f-tilde";
  readonly innerSteps: number;
  readonly innerLr: number;
  /** Every inner loop starts from w_0, or from where the last one ended. */
  readonly start: "restart" | "warm";
}

/** L = ½ (w - α)ᵀ G (w - α). */
export function toyProblem({
  outerLoss,
  innerSteps,
  innerLr,
}: Omit<ToyOptions, "start">): Problem<"w", "alpha"> {
  return bilevel({
    parameters: { w: values(W0) },
    hyper: { alpha: values(ALPHA0) },
    inner: {
      data: { g: values(G) },
      loss: ({ w }, { alpha }, { g }) => scale(0.5, sum(mul(g, square(sub(w, alpha))))),
      steps: innerSteps,
      optimizer: sgd({ lr: innerLr }),
    },
    outer: {
      data: { centre: values([1, 0]) },
      loss: ({ w }, { alpha }, { centre }) => {
        const f = add(squaredNorm(w), scale(10, squaredNorm(sin(w))));
        return outerLoss === "f" ? f : add(f, scale(5, squaredNorm(sub(alpha, centre))));
      },
    },
  });
}

/** The learning rate whose first step has this length whatever the estimator: length / ‖h_0‖ (§4.1). */
export async function firstStepRate(
  gpu: Gpu,
  options: ToyOptions,
  estimator: Estimator,
  length: number,
): Promise<number> {
  const first = await hypergradient(toyProblem(options), { gpu, estimator });
  return length / (Math.hypot(...first.hypergradient.alpha.data) || 1);
}

/** One point of the path of α. */
export interface ToyPoint {
  readonly alpha: number[];
  /** The outer loss at w_T(α) and α. */
  readonly loss: number;
  readonly hypergradient: number[];
  /** What exact reverse mode gives for the same inner loop. */
  readonly exact: number[];
  /** Between the two; NaN where one is zero. */
  readonly cosine: number;
  readonly relativeError: number;
}

/** The path of α: where it starts, and after each of the outer steps. */
export async function* toyPath(
  gpu: Gpu,
  options: ToyOptions & { estimator: Estimator; optimizer: OuterOptimizer; outerSteps: number },
): AsyncGenerator<ToyPoint> {
  const { estimator, optimizer, outerSteps, start } = options;
  const problem = toyProblem(options);
  const comparison = await Comparison.prepare(problem, { gpu, estimators: [] });
  let { alpha } = problem.hyper;
  let w: Values | undefined;
  try {
    const steps = optimize(problem, { gpu, estimator, optimizer, steps: outerSteps + 1, mode: start });
    for await (const step of steps) {
      const found = await step.hypergradient();
      const { exact } = await comparison.at({ hyper: { alpha }, parameters: w && { w } });
      if ("error" in exact) throw new Error(exact.error);
      yield {
        alpha: [...alpha.data],
        loss: step.outerLoss,
        hypergradient: [...found.alpha.data],
        exact: [...exact.hypergradient.alpha.data],
        ...closeness(found, exact.hypergradient),
      };
      ({ alpha } = await step.hyper());
      if (start === "warm") ({ w } = await step.parameters());
    }
  } finally {
    comparison.destroy();
  }
}
