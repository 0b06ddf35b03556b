// The two-dimensional toy problem of Shaban et al. 2019, §4.1: how far does a truncated or greedy hypergradient lead
// α astray, and how does it compare with the exact one at every point of the way? One run step by step, or with
// --estimators, --horizons or --figure many side by side.
import { object } from "@optique/core/constructs";
import { message, text } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { estimatorList } from "../src/estimators/named.ts";
import { choice, listOf, nonNegativeNumber, positiveInteger } from "../src/host/arguments.ts";
import {
  type Estimator,
  Gpu,
  gradientDescent,
  parseArguments,
  print,
  progress,
  table,
} from "../src/index.ts";
import { deliverFigure } from "./common/deliver.ts";
import {
  checkEstimator,
  estimatorFlags,
  estimatorOf,
  estimatorsFlag,
  figureFlag,
  innerFlags,
  jsonFlag,
  outerFlag,
  outerOptimizerOf,
  outerStepsFlag,
  withoutParameters,
} from "./common/flags.ts";
import { firstStepRate, type ToyOptions, type ToyPoint, toyPath, toyProblem } from "./common/toy.ts";
import { outcomeOf, SOLVED, type ToyRun, toyFigure } from "./common/toy_runs.ts";

const LR = 0.1;
const FIRST_STEP = 0.6;
const SINGLE_RUN = { estimator: "krmd", innerSteps: 20 } as const;
const SEVERAL = "rmd,krmd:5,t1t2,greedy:0.9,greedy:auto,neumann:5,cg,drmad";
const HORIZONS = [5, 10, 20];

const options = await parseArguments(
  "toy",
  object({
    outerLoss: withDefault(
      option("--outer-loss", choice(["f", "f-tilde"]), {
        description: message`f = ‖w‖² + 10 ‖sin w‖², or f-tilde = f + 5 ‖α - (1, 0)‖²`,
      }),
      "f" as const,
    ),
    start: optional(
      option("--start", choice(["restart", "warm"]), {
        description: message`each inner loop starts from w_0, or from where the last one ended [restart; of several runs both]`,
      }),
    ),
    ...estimatorFlags(SINGLE_RUN.estimator),
    ...innerFlags({ steps: SINGLE_RUN.innerSteps, lr: 0.1 }),
    ...outerStepsFlag(100),
    outer: withDefault(outerFlag(["sgd", "adam", "shaban"]), "sgd" as const),
    outerLr: optional(
      option("--outer-lr", nonNegativeNumber("LR"), {
        description: message`their learning rate [${text(String(LR))}]; with shaban the length of the first step [${text(String(FIRST_STEP))}], later ones shrink with the root of the step's number`,
      }),
    ),
    ...estimatorsFlag(message`several runs, one with each of these [${text(SEVERAL)}]`),
    horizons: optional(
      option("--horizons", listOf(positiveInteger("T")), {
        description: message`several runs, with these numbers of inner steps [${text(HORIZONS.join())}]`,
      }),
    ),
    ...figureFlag(message`several runs, and draw their losses and cosines, as SVG`),
    ...jsonFlag(),
  }),
  {
    description:
      "Minimises an outer loss over α in two dimensions and compares each hypergradient with the exact one (Shaban et al. 2019, §4.1).",
    check: (flags) => checkEstimator(flags) ?? (areSeveral(flags) ? checkSeveral(flags) : undefined),
  },
);
const { start = "restart" } = options;
export const problem = toyProblem(options);
if (import.meta.main) await (areSeveral(options) ? several() : single());

interface SeveralFlags {
  readonly estimators: string | undefined;
  readonly horizons: readonly number[] | undefined;
  readonly figure: string | undefined;
}

function areSeveral({ estimators, horizons, figure }: SeveralFlags): boolean {
  return (estimators ?? horizons ?? figure) !== undefined;
}

function checkSeveral(flags: Parameters<typeof estimatorOf>[0]): string | undefined {
  const normal = estimatorOf(SINGLE_RUN).label;
  return estimatorOf(flags).label === normal && flags.innerSteps === SINGLE_RUN.innerSteps
    ? undefined
    : "--estimator, its parameters and --inner-steps are of a single run: give --estimators and --horizons";
}

async function single(): Promise<void> {
  const { estimator, label } = estimatorOf(options);
  const gpu = await Gpu.open();
  const bar = progress({ total: options.outerSteps, label: "outer step" });
  const points = await follow(gpu, { ...options, start, estimator }, ({ loss }, step) =>
    bar.update(step, { loss: loss.toPrecision(4) }),
  );
  bar.stop();
  const about = { label, adapter: gpu.choice.description };
  if (options.json) printJson(points, about);
  else printTable(points, about);
  gpu.close();
}

/** The path of α. */
async function follow(
  gpu: Gpu,
  settings: ToyOptions & { readonly estimator: Estimator },
  news: (point: ToyPoint, step: number) => void,
): Promise<ToyPoint[]> {
  const { outer, outerLr = outer === "shaban" ? FIRST_STEP : LR, outerSteps } = options;
  const optimizer =
    outer === "shaban"
      ? gradientDescent({
          lr: await firstStepRate(gpu, settings, settings.estimator, outerLr),
          decay: "sqrt",
        })
      : outerOptimizerOf({ outer, outerLr });
  const points: ToyPoint[] = [];
  for await (const point of toyPath(gpu, { ...settings, optimizer, outerSteps })) {
    news(point, points.length);
    points.push(point);
  }
  return points;
}

async function several(): Promise<void> {
  const { estimators = SEVERAL, horizons = HORIZONS, outerSteps } = options;
  const starts = options.start === undefined ? (["restart", "warm"] as const) : [options.start];
  const cases = starts.flatMap((start) =>
    horizons.flatMap((innerSteps) =>
      estimatorList(estimators, innerSteps).map((chosen) => ({ start, innerSteps, ...chosen })),
    ),
  );
  const gpu = await Gpu.open();
  const bar = progress({ total: cases.length * (outerSteps + 1), label: "outer step" });
  const runs: ToyRun[] = [];
  for (const { estimator, ...run } of cases) {
    const before = runs.length * (outerSteps + 1);
    const after = `${run.label}, T = ${run.innerSteps}, ${run.start}`;
    const points = await follow(gpu, { ...options, ...run, estimator }, (_, step) =>
      bar.update(before + step + 1, { after }),
    );
    runs.push({ ...run, points });
  }
  bar.stop();
  if (options.json) printRunsJson(runs, gpu.choice.description);
  else printRuns(runs, gpu.choice.description);
  await deliverFigure(options, () => toyFigure(runs));
  gpu.close();
}

interface About {
  /** The estimator, and what it ran on. */
  readonly label: string;
  readonly adapter: string;
}

function printJson(points: readonly ToyPoint[], { label, adapter }: About): void {
  const { json: _json, ...settings } = withoutParameters({ ...options, start });
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

function printRunsJson(runs: readonly ToyRun[], adapter: string): void {
  const { outerLoss, innerLr, outerSteps, outer, outerLr, figure } = options;
  print(
    JSON.stringify({
      ...{ outerLoss, innerLr, outerSteps, outer, outerLr, adapter, figure },
      runs: runs.map((run) => ({
        start: run.start,
        innerSteps: run.innerSteps,
        estimator: run.label,
        ...outcomeOf(run),
        loss: run.points.map(({ loss }) => loss),
        cosine: run.points.map(({ cosine }) => cosine),
      })),
    }),
  );
}

function printRuns(runs: readonly ToyRun[], adapter: string): void {
  const rows = runs.map((run) => {
    const { stepsToSolve, lastLoss, leastCosine } = outcomeOf(run);
    return [
      run.label,
      run.start,
      String(run.innerSteps),
      String(stepsToSolve ?? "–"),
      lastLoss.toExponential(1),
      leastCosine?.toFixed(4) ?? "–",
    ];
  });
  const headings = ["estimator", "start", "T", `steps to loss < ${SOLVED}`, "last loss", "least cosine"];
  print(table(headings, rows));
  print("");
  print(`of ${options.outerSteps} outer steps; least cosine to exact reverse mode until the loss is there`);
  print(`adapter: ${adapter}`);
}
