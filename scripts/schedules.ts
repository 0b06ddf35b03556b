// Learning rates and momenta of every step (Maclaurin et al. 2015; Franceschi et al. 2017): the schedules η_1 … η_T and
// μ_1 … μ_T of a short training run, learned from the validation loss at its end; or, with --online, one η and one μ that
// move while a single run goes on (real-time hyperparameter optimization).
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { integer } from "@optique/core/valueparser";
import { choice } from "../src/host/arguments.ts";
import {
  bilevel,
  box,
  correct,
  crossEntropy,
  DivergenceError,
  differentiate,
  filled,
  firstOrder,
  Gpu,
  linear,
  type Model,
  mean,
  mlp,
  nonNegative,
  OuterLoop,
  parseArguments,
  print,
  progress,
  scalar,
  sgd,
  table,
  values,
} from "../src/index.ts";
import { imageRows } from "./common/accuracy.ts";
import { loadExamples } from "./common/examples.ts";
import {
  checkData,
  checkEstimator,
  dataFlags,
  estimatorFlags,
  estimatorOf,
  innerFlags,
  jsonFlag,
  momentumFlag,
  outerFlags,
  outerOptimizerOf,
  outerStepsFlag,
  seedFlag,
  sizeFlags,
  withoutParameters,
} from "./common/flags.ts";
import { type Learned, learn } from "./common/learn.ts";

const TEST = 2000;
/** The highest momentum that a step may have. */
const MOST_MOMENTUM = 0.99;
/** Constant rates and momenta to compare with. */
const RATES = [0.02, 0.05, 0.1, 0.2, 0.5, 1];
const MOMENTA = [0, 0.5, 0.9];
/** Most lines of an online schedule. */
const LINES = 25;

const options = await parseArguments(
  "schedules",
  object({
    model: withDefault(
      option("--model", choice(["linear", "mlp"]), { description: message`what is trained` }),
      "mlp" as const,
    ),
    hidden: withDefault(
      option("--hidden", integer({ min: 1, metavar: "N" }), {
        description: message`hidden units of the mlp`,
      }),
      32,
    ),
    online: option("--online", {
      description: message`one η and one μ, moved every T inner steps of a run that is not restarted; with --estimator rtho`,
    }),
    ...estimatorFlags("rmd"),
    ...innerFlags({ steps: 30, lr: 0.1 }),
    ...momentumFlag(0.5),
    ...outerStepsFlag(40),
    ...outerFlags({ outer: "adam", lr: 0.02 }),
    ...sizeFlags({ train: 500, val: 500, glyphTest: TEST }),
    ...dataFlags(),
    ...seedFlag(),
    ...jsonFlag(),
  }),
  {
    description:
      "Learns a learning rate and a momentum for every step of a short training run, and compares them with a grid of constant ones.",
    check: (flags) =>
      checkEstimator(flags) ??
      checkData(flags) ??
      (flags.estimator === "rtho" && !flags.online ? "--estimator rtho needs --online" : undefined) ??
      (flags.momentum > MOST_MOMENTUM
        ? `--momentum ${flags.momentum}: give at most ${MOST_MOMENTUM}`
        : undefined),
  },
);
const { train, val, test } = await loadExamples({ ...options, glyphTest: TEST });
const pixels = train.rows * train.columns;
const steps = options.innerSteps;
/** One number for each step of a run; online, for each of its outer steps. */
const length = options.online ? options.outerSteps : steps;
const model: Model<string> =
  options.model === "linear"
    ? linear(pixels, train.classes)
    : mlp([pixels, options.hidden, train.classes], { seed: options.seed });

export const problem = bilevel({
  parameters: model.parameters,
  hyper: options.online
    ? { eta: scalar(options.innerLr), mu: scalar(options.momentum) }
    : { eta: filled([steps], options.innerLr), mu: filled([steps], options.momentum) },
  constraints: { eta: nonNegative(), mu: box({ lower: 0, upper: MOST_MOMENTUM }) },
  inner: {
    data: { x: imageRows(train), y: values(train.labels) },
    loss: (w, _hyper, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
    steps,
    optimizer: sgd({ lr: "eta", momentum: "mu" }),
  },
  outer: {
    data: { x: imageRows(val), y: values(val.labels) },
    loss: (w, _hyper, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
  },
});

if (import.meta.main) await experiment();

async function experiment(): Promise<void> {
  const { estimator, label } = estimatorOf(options);
  const gpu = await Gpu.open();
  const score = await scorer(gpu);
  const before = await score(constant(options.innerLr, options.momentum));
  const grid: Constant[] = [];
  const trials = RATES.flatMap((eta) => MOMENTA.map((mu) => ({ eta, mu })));
  const bar = progress({ total: trials.length, label: "constant rate" });
  for (const { eta, mu } of trials) {
    grid.push({ eta, mu, ...(await score(constant(eta, mu))) });
    bar.update(grid.length);
  }
  bar.stop();
  const path = constant(options.innerLr, options.momentum, 1);
  const learned = await learn(
    problem,
    {
      gpu,
      estimator,
      optimizer: outerOptimizerOf(options),
      steps: options.outerSteps,
      mode: options.online ? "warm" : "restart",
    },
    ({ eta, mu }) => {
      path.eta.push(eta.data[0]!);
      path.mu.push(mu.data[0]!);
    },
  );
  const { eta, mu } = learned.hyper;
  // Online, what α became after the last outer step was not used any more.
  const schedule = options.online
    ? { eta: path.eta.slice(0, -1), mu: path.mu.slice(0, -1) }
    : { eta: [...eta.data], mu: [...mu.data] };
  const after = await score(schedule);
  const best = grid.reduce((a, b) => (b.validationLoss < a.validationLoss ? b : a));
  const result = { before, grid, best, learned, schedule, after, label, adapter: gpu.choice.description };
  if (options.json) printJson(result);
  else printTables(result);
  gpu.close();
}

interface Schedule {
  readonly eta: number[];
  readonly mu: number[];
}

function constant(eta: number, mu: number, count = length): Schedule {
  return { eta: new Array<number>(count).fill(eta), mu: new Array<number>(count).fill(mu) };
}

interface Score {
  readonly validationLoss: number;
  readonly testAccuracy: number;
}

interface Constant extends Score {
  readonly eta: number;
  readonly mu: number;
}

/** Trains by a schedule and measures what comes out. A run that diverges has an infinite loss. */
async function scorer(gpu: Gpu): Promise<(schedule: Schedule) => Promise<Score>> {
  const training = await OuterLoop.prepare(problem, {
    gpu,
    estimator: firstOrder(),
    every: options.online ? length : 1,
  });
  const accuracy = await differentiate(gpu, {
    parameters: model.parameters,
    data: { x: imageRows(test), y: values(test.labels) },
    loss: (w, _hyper, { x, y }) => mean(correct(model.apply(w, x), y)),
  });
  return async ({ eta, mu }) => {
    const rounds = options.online ? eta.length : 1;
    const part = (all: number[], round: number) => (options.online ? scalar(all[round]!) : values(all));
    let validationLoss = Number.NaN;
    try {
      for (let round = 0; round < rounds; round++) {
        training.setHyper({ eta: part(eta, round), mu: part(mu, round) });
        const entries = await training.step({ restart: round === 0, news: round === rounds - 1 });
        validationLoss = entries.at(-1)?.outerLoss ?? validationLoss;
      }
      accuracy.set({ parameters: await training.parameters() });
      const [testAccuracy] = await accuracy.value();
      return { validationLoss, testAccuracy: testAccuracy! };
    } catch (error) {
      if (!(error instanceof DivergenceError)) throw error;
      return { validationLoss: Number.POSITIVE_INFINITY, testAccuracy: 0 };
    }
  };
}

interface Result {
  readonly before: Score;
  readonly grid: readonly Constant[];
  readonly best: Constant;
  readonly learned: Learned<"eta" | "mu">;
  readonly schedule: Schedule;
  readonly after: Score;
  readonly label: string;
  readonly adapter: string;
}

function printJson({ before, grid, best, learned, schedule, after, label, adapter }: Result): void {
  const { data: _data, json: _json, set: _set, ...settings } = withoutParameters(options);
  print(
    JSON.stringify({
      ...settings,
      data: train.name,
      test: test.labels.length,
      estimator: label,
      adapter,
      outerStepsDone: learned.losses.length,
      losses: learned.losses,
      ...schedule,
      before,
      after,
      best,
      grid,
      msPerOuterStep: learned.milliseconds,
    }),
  );
}

function printTables({ before, best, learned, schedule, after, label, adapter }: Result): void {
  const row = (name: string, { validationLoss, testAccuracy }: Score) => [
    name,
    validationLoss.toFixed(4),
    `${(100 * testAccuracy).toFixed(2)} %`,
  ];
  const lines = [
    plot(schedule),
    ...(options.online ? [] : ["μ of step 1 does nothing: there is no velocity yet"]),
    "",
    table(
      ["", "validation loss", "test accuracy"],
      [
        row(`start: η ${options.innerLr}, μ ${options.momentum}`, before),
        row(`best of ${RATES.length * MOMENTA.length} constant: η ${best.eta}, μ ${best.mu}`, best),
        row("learned schedule", after),
      ],
    ),
    "",
    `${train.name}: ${train.labels.length} training, ${val.labels.length} validation, ${test.labels.length} test examples`,
    `${label}: ${learned.losses.length} outer steps of ${learned.milliseconds.toFixed(0)} ms (median)`,
    `adapter: ${adapter}`,
  ];
  print(lines.join("\n"));
}

/** η_t and μ_t as numbers and bars: a line for each step; online, for some of the steps after which they moved. */
function plot({ eta, mu }: Schedule): string {
  const width = 24;
  const bar = (value: number, most: number) =>
    "█".repeat(Math.round((width * value) / (most || 1))).padEnd(width);
  const most = Math.max(...eta);
  const every = options.online ? Math.ceil(eta.length / LINES) : 1;
  const rows = eta.flatMap((value, i) => {
    if (i % every !== 0) return [];
    const step = options.online ? i * steps + 1 : i + 1;
    return [[String(step), value.toFixed(3), bar(value, most), mu[i]!.toFixed(3), bar(mu[i]!, 1)]];
  });
  return table(["t", "η", "", "μ", ""], rows);
}
