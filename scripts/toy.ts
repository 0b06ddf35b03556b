// The two-dimensional toy problem of Shaban et al. 2019, §4.1: how far does a truncated or greedy hypergradient lead
// α astray, and how does it compare with the exact one at every point of the way?
import { object } from "@optique/core/constructs";
import { message, text } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { choice, nonNegativeNumber } from "../src/host/arguments.ts";
import {
  type Estimator,
  Gpu,
  gradientDescent,
  type OuterOptimizer,
  parseArguments,
  print,
  progress,
  table,
} from "../src/index.ts";
import {
  checkEstimator,
  estimatorFlags,
  estimatorOf,
  innerFlags,
  jsonFlag,
  outerFlag,
  outerOptimizerOf,
  outerStepsFlag,
  withoutParameters,
} from "./common/flags.ts";
import { firstStepRate, type ToyPoint, toyPath, toyProblem } from "./common/toy.ts";

const LR = 0.1;
const FIRST_STEP = 0.6;

const options = await parseArguments(
  "toy",
  object({
    outerLoss: withDefault(
      option("--outer-loss", choice(["f", "f-tilde"]), {
        description: message`f = ‖w‖² + 10 ‖sin w‖², or f-tilde = f + 5 ‖α - (1, 0)‖²`,
      }),
      "f" as const,
    ),
    start: withDefault(
      option("--start", choice(["restart", "warm"]), {
        description: message`each inner loop starts from w_0, or from where the last one ended`,
      }),
      "restart" as const,
    ),
    ...estimatorFlags("krmd"),
    ...innerFlags({ steps: 20, lr: 0.1 }),
    ...outerStepsFlag(100),
    outer: withDefault(outerFlag(["sgd", "adam", "shaban"]), "sgd" as const),
    outerLr: optional(
      option("--outer-lr", nonNegativeNumber("LR"), {
        description: message`their learning rate [${text(String(LR))}]; with shaban the length of the first step [${text(String(FIRST_STEP))}], later ones shrink with the root of the step's number`,
      }),
    ),
    ...jsonFlag(),
  }),
  {
    description:
      "Minimises an outer loss over α in two dimensions and compares each hypergradient with the exact one (Shaban et al. 2019, §4.1).",
    check: checkEstimator,
  },
);
export const problem = toyProblem(options);
if (import.meta.main) await experiment();

/** Follows the path of α. */
async function experiment(): Promise<void> {
  const { estimator, label } = estimatorOf(options);
  const gpu = await Gpu.open();
  const optimizer = await outerRule(gpu, estimator);
  const points: ToyPoint[] = [];
  const bar = progress({ total: options.outerSteps, label: "outer step" });
  for await (const point of toyPath(gpu, { ...options, estimator, optimizer })) {
    points.push(point);
    bar.update(points.length - 1, { loss: point.loss.toPrecision(4) });
  }
  bar.stop();
  const about = { label, adapter: gpu.choice.description };
  if (options.json) printJson(points, about);
  else printTable(points, about);
  gpu.close();
}

interface About {
  /** The estimator, and what it ran on. */
  readonly label: string;
  readonly adapter: string;
}

async function outerRule(gpu: Gpu, estimator: Estimator): Promise<OuterOptimizer> {
  const { outer, outerLr = outer === "shaban" ? FIRST_STEP : LR } = options;
  if (outer !== "shaban") return outerOptimizerOf({ outer, outerLr });
  return gradientDescent({ lr: await firstStepRate(gpu, options, estimator, outerLr), decay: "sqrt" });
}

function printJson(points: readonly ToyPoint[], { label, adapter }: About): void {
  const { json: _json, ...settings } = withoutParameters(options);
  const all = <K extends keyof ToyPoint>(key: K) => points.map((point) => point[key]);
  const paths = {
    alpha: all("alpha"),
    loss: all("loss"),
    hypergradient: all("hypergradient"),
    exact: all("exact"),
    cosine: all("cosine"),
    relativeError: all("relativeError"),
  };
  print(JSON.stringify({ ...settings, estimator: label, adapter, ...paths }));
}

function printTable(points: readonly ToyPoint[], { label, adapter }: About): void {
  const shown = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500].filter((step) => step < options.outerSteps);
  const rows = [...shown, options.outerSteps].map((step) => {
    const { loss, cosine, relativeError, alpha } = points[step]!;
    return [
      String(step),
      loss.toPrecision(4),
      ...[cosine, relativeError].map((value) => (Number.isFinite(value) ? value.toFixed(4) : "–")),
      `(${alpha.map((value) => value.toFixed(4)).join(", ")})`,
    ];
  });
  print(table(["outer step", "outer loss", "cosine", "relative error", "α"], rows));
  print("");
  print(`cosine and relative error: ${label} against exact reverse mode on the same inner loop`);
  print(`adapter: ${adapter}`);
}
