// How fast does the error of truncated reverse mode fall with the K steps that it goes back, and how near is the bound of
// Shaban et al. 2019, Prop. 3.1? On least squares with gradient descent, for a few condition numbers κ: with η = 1 / L
// the error falls by 1 - 1/κ a step.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { float } from "@optique/core/valueparser";
import { listOf, positiveInteger } from "../src/host/arguments.ts";
import {
  type Figure,
  Gpu,
  hypergradient,
  krmd,
  krmdBound,
  krmdConstants,
  parseArguments,
  print,
  progress,
  rmd,
  table,
} from "../src/index.ts";
import { deliver } from "./common/deliver.ts";
import { figureFlag, jsonFlag, seedFlag } from "./common/flags.ts";
import { leastSquares } from "./common/least_squares.ts";

const options = await parseArguments(
  "truncation",
  object({
    parameters: withDefault(
      option("--parameters", positiveInteger("P"), { description: message`numbers in y` }),
      30,
    ),
    hyper: withDefault(option("--hyper", positiveInteger("H"), { description: message`numbers in θ` }), 10),
    conditions: withDefault(
      option("--conditions", listOf(float({ min: 1, metavar: "KAPPA" })), {
        description: message`largest curvature of the inner loss over the smallest`,
      }),
      [4, 10, 30],
    ),
    innerSteps: withDefault(
      option("--inner-steps", positiveInteger("T"), {
        description: message`steps of the inner loop; K goes from 1 to T`,
      }),
      30,
    ),
    ...seedFlag(),
    ...figureFlag(message`draw error and bound against K, as SVG`),
    ...jsonFlag(),
  }),
  {
    description:
      "Compares the error of truncated reverse mode, for every number of steps that it goes back, with its bound.",
  },
);
export const problem = problemOf(options.conditions[0]!);

if (import.meta.main) await experiment();

/** Gradient descent with the longest step that the bound is stated for. */
function problemOf(condition: number) {
  const { curvature, problem } = leastSquares({ ...options, condition });
  return problem({ steps: options.innerSteps, lr: 1 / curvature.largest, momentum: 0 });
}

interface Point {
  readonly condition: number;
  readonly k: number;
  /** ‖h_{T-K} - h‖ / ‖h‖ */
  readonly relativeError: number;
  /** Of the same. */
  readonly bound: number;
}

async function experiment(): Promise<void> {
  const gpu = await Gpu.open();
  const { conditions, innerSteps } = options;
  const bar = progress({ total: conditions.length * innerSteps, label: "hypergradient" });
  const points: Point[] = [];
  for (const condition of conditions) {
    for await (const point of errors(gpu, condition)) {
      points.push(point);
      bar.update(points.length);
    }
  }
  bar.stop();
  await deliver(gpu, options, points, { drawn, printTables: printTable });
  gpu.close();
}

async function* errors(gpu: Gpu, condition: number): AsyncGenerator<Point> {
  const problem = problemOf(condition);
  const constants = await krmdConstants(problem, { gpu });
  const exact = (await hypergradient(problem, { gpu, estimator: rmd() })).hypergradient.theta.data;
  const length = Math.hypot(...exact);
  for (let k = 1; k <= options.innerSteps; k++) {
    const found = (await hypergradient(problem, { gpu, estimator: krmd({ k }) })).hypergradient.theta.data;
    const error = Math.hypot(...exact.map((value, i) => found[i]! - value));
    yield {
      condition,
      k,
      relativeError: error / length,
      bound: krmdBound({ ...constants, k }) / length,
    };
  }
}

function printTable(points: readonly Point[]): void {
  const { conditions, innerSteps } = options;
  const shown = [1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 70, 100, 200, 500].filter((k) => k < innerSteps);
  const rows = [...shown, innerSteps].map((k) => [
    String(k),
    ...conditions.flatMap((condition) => {
      const point = points.find((point) => point.condition === condition && point.k === k)!;
      return [point.relativeError, point.bound].map((value) => value.toExponential(1));
    }),
  ]);
  print(table(["K", ...conditions.flatMap((condition) => [`κ = ${condition}: error`, "bound"])], rows));
  print("");
  print(`relative to ‖h‖, h by exact reverse mode through all T = ${innerSteps} steps`);
}

function drawn(points: readonly Point[]): Figure {
  const curve = (condition: number, of: "relativeError" | "bound") =>
    points.filter((point) => point.condition === condition).map(({ k, [of]: value }) => [k, value] as const);
  return {
    panels: [
      {
        x: { title: "K, steps gone back" },
        y: { title: "relative error", log: true },
        curves: options.conditions.flatMap((condition) => {
          const name = `κ = ${condition}`;
          return [
            { name, points: curve(condition, "relativeError") },
            { name, points: curve(condition, "bound"), dashed: true },
          ];
        }),
      },
    ],
    dashed: "bound",
  };
}
