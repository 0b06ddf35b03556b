// Bilevel least squares, whose hypergradient is known (Li et al. 2022): how fast does the error of each estimator fall
// with the work spent on it (Ehrhardt & Roberts, arXiv 2301.04764)?
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { multiple, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { float } from "@optique/core/valueparser";
import { positiveInteger } from "../src/host/arguments.ts";
import {
  cg,
  type Estimator,
  Gpu,
  greedy,
  hypergradient,
  inexactGd,
  inexactHb,
  krmd,
  neumann,
  parseArguments,
  print,
  progress,
  rmd,
  table,
} from "../src/index.ts";
import { jsonFlag, seedFlag } from "./common/flags.ts";
import { leastSquares } from "./common/least_squares.ts";

const BUDGETS = [10, 20, 40, 80, 160, 320];
/** Iterations that conjugate gradients get at most; what is left of the work goes to the inner loop. */
const CG_ITERATIONS = 40;

const options = await parseArguments(
  "least-squares",
  object({
    parameters: withDefault(
      option("--parameters", positiveInteger("P"), { description: message`numbers in y` }),
      40,
    ),
    hyper: withDefault(option("--hyper", positiveInteger("H"), { description: message`numbers in θ` }), 20),
    condition: withDefault(
      option("--condition", float({ min: 1, metavar: "KAPPA" }), {
        description: message`largest curvature of the inner loss over the smallest`,
      }),
      50,
    ),
    work: withDefault(
      multiple(
        option("--work", positiveInteger("N"), {
          description: message`inner steps plus Jacobian and Hessian products to spend; may be given again`,
        }),
        { min: 1 },
      ),
      BUDGETS,
    ),
    ...seedFlag(),
    ...jsonFlag(),
  }),
  {
    description:
      "Compares the error of estimators against the analytic hypergradient of a least-squares problem, each for the same work.",
    check: ({ work }) =>
      work.some((budget) => budget < 4)
        ? `--work ${Math.min(...work)} is too little: give at least 4`
        : undefined,
  },
);
const known = leastSquares(options);
const { largest, smallest } = known.curvature;
const root = Math.sqrt(largest / smallest);

/** The fastest constant step of gradient descent, and step and momentum of heavy ball, for these curvatures. */
const descent = { lr: 2 / (largest + smallest), momentum: 0 };
const heavyBall = {
  lr: (2 / (Math.sqrt(largest) + Math.sqrt(smallest))) ** 2,
  momentum: ((root - 1) / (root + 1)) ** 2,
};

interface Curve {
  readonly name: string;
  readonly inner: { readonly lr: number; readonly momentum: number };
  /** How a number of inner steps and products is best spent. */
  spend(work: number): { readonly steps: number; readonly estimator: Estimator };
}

const half = (work: number) => Math.floor(work / 2);

/** On a quadratic AD with derivatives frozen at w_T is reverse mode itself: rmd, neumann and inexact-gd agree. */
const curves: readonly Curve[] = [
  { name: "rmd", inner: descent, spend: (work) => ({ steps: half(work), estimator: rmd() }) },
  { name: "rmd, heavy ball", inner: heavyBall, spend: (work) => ({ steps: half(work), estimator: rmd() }) },
  {
    name: "krmd, K = T/2",
    inner: heavyBall,
    spend: (work) => {
      const k = Math.floor(work / 3);
      return { steps: work - k, estimator: krmd({ k }) };
    },
  },
  {
    name: "greedy(0.9)",
    inner: descent,
    spend: (work) => ({ steps: half(work), estimator: greedy({ gamma: 0.9 }) }),
  },
  {
    name: "neumann",
    inner: descent,
    spend: (work) => ({ steps: half(work), estimator: neumann({ terms: half(work) - 1 }) }),
  },
  {
    name: "AD+GD",
    inner: descent,
    spend: (work) => ({ steps: half(work), estimator: inexactGd({ iterations: half(work) }) }),
  },
  {
    name: "AD+HB",
    inner: heavyBall,
    spend: (work) => {
      const { momentum } = heavyBall;
      return { steps: half(work), estimator: inexactHb({ iterations: half(work), momentum }) };
    },
  },
  {
    name: "IFT+CG",
    inner: heavyBall,
    spend: (work) => {
      const iterations = Math.min(half(work) - 1, CG_ITERATIONS);
      return { steps: work - iterations - 1, estimator: cg({ iterations }) };
    },
  },
];

export const problem = known.problem({ steps: 100, ...descent });

interface Point {
  readonly curve: string;
  readonly work: number;
  readonly innerSteps: number;
  readonly products: number;
  /** ‖h - h*‖ / ‖h*‖, for the hypergradient h* at the exact minimiser. */
  readonly relativeError: number;
}

if (import.meta.main) await experiment();

async function experiment(): Promise<void> {
  const gpu = await Gpu.open();
  const points: Point[] = [];
  const bar = progress({ total: curves.length * options.work.length, label: "hypergradient" });
  for (const curve of curves) {
    for (const work of options.work) {
      points.push(await measure(gpu, curve, work));
      bar.update(points.length);
    }
  }
  bar.stop();
  if (options.json) {
    const { json: _, ...settings } = options;
    print(JSON.stringify({ ...settings, adapter: gpu.choice.description, points }));
  } else {
    printTable(points);
    print(`adapter: ${gpu.choice.description}`);
  }
  gpu.close();
}

async function measure(gpu: Gpu, { name, inner, spend }: Curve, work: number): Promise<Point> {
  const { steps, estimator } = spend(work);
  const { hypergradient: found } = await hypergradient(known.problem({ steps, ...inner }), {
    gpu,
    estimator,
  });
  const exact = known.hypergradient;
  const error = Math.hypot(...exact.map((value, i) => found.theta.data[i]! - value));
  return {
    curve: name,
    work,
    innerSteps: steps,
    products: estimator.products(steps, options.hyper),
    relativeError: error / Math.hypot(...exact),
  };
}

function printTable(points: readonly Point[]): void {
  const rows = curves.map(({ name }) => [
    name,
    ...points
      .filter((point) => point.curve === name)
      .map(({ relativeError }) => relativeError.toExponential(1)),
  ]);
  print("relative error against the hypergradient at the exact minimiser, by inner steps + products");
  print("");
  print(table(["", ...options.work.map(String)], rows));
  print("");
  print(
    `y in R^${options.parameters}, θ in R^${options.hyper}, condition ${options.condition}; IFT+CG takes at most ${CG_ITERATIONS} products for its system, the others half of the work (krmd a third)`,
  );
}
