// Learning rates and momenta of every step (Maclaurin et al. 2015; Franceschi et al. 2017): the schedules η_1 … η_T and
// μ_1 … μ_T of a short training run, learned from the validation loss at its end.
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
  type Dataset,
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
  sgd,
  table,
  type Values,
  values,
} from "../src/index.ts";
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
      (flags.momentum > MOST_MOMENTUM
        ? `--momentum ${flags.momentum}: give at most ${MOST_MOMENTUM}`
        : undefined),
  },
);
const { train, val, test } = await loadExamples({ ...options, glyphTest: TEST });
const pixels = train.rows * train.columns;
const steps = options.innerSteps;
const model: Model<string> =
  options.model === "linear"
    ? linear(pixels, train.classes)
    : mlp([pixels, options.hidden, train.classes], { seed: options.seed });

export const problem = bilevel({
  parameters: model.parameters,
  hyper: { eta: filled([steps], options.innerLr), mu: filled([steps], options.momentum) },
  constraints: { eta: nonNegative(), mu: box({ lower: 0, upper: MOST_MOMENTUM }) },
  inner: {
    data: { x: inputs(train), y: values(train.labels) },
    loss: (w, _hyper, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
    steps,
    optimizer: sgd({ lr: "eta", momentum: "mu" }),
  },
  outer: {
    data: { x: inputs(val), y: values(val.labels) },
    loss: (w, _hyper, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
  },
});

if (import.meta.main) await experiment();

async function experiment(): Promise<void> {
  const { estimator, label } = estimatorOf(options);
  const gpu = await Gpu.open();
  const score = await scorer(gpu);
  const before = await score(problem.hyper);
  const grid: Constant[] = [];
  const trials = RATES.flatMap((eta) => MOMENTA.map((mu) => ({ eta, mu })));
  const bar = progress({ total: trials.length, label: "constant rate" });
  for (const { eta, mu } of trials) {
    grid.push({ eta, mu, ...(await score({ eta: filled([steps], eta), mu: filled([steps], mu) })) });
    bar.update(grid.length);
  }
  bar.stop();
  const learned = await learn(problem, {
    gpu,
    estimator,
    optimizer: outerOptimizerOf(options),
    steps: options.outerSteps,
  });
  const after = await score(learned.hyper);
  const best = grid.reduce((a, b) => (b.validationLoss < a.validationLoss ? b : a));
  const result = { before, grid, best, learned, after, label, adapter: gpu.choice.description };
  if (options.json) printJson(result);
  else printTables(result);
  gpu.close();
}

function inputs({ images, labels }: Dataset): Values {
  return values(images, [labels.length, pixels]);
}

interface Schedule {
  readonly eta: Values;
  readonly mu: Values;
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
  const training = await OuterLoop.prepare(problem, { gpu, estimator: firstOrder() });
  const accuracy = await differentiate(gpu, {
    parameters: model.parameters,
    data: { x: inputs(test), y: values(test.labels) },
    loss: (w, _hyper, { x, y }) => mean(correct(model.apply(w, x), y)),
  });
  return async (schedule) => {
    training.setHyper(schedule);
    try {
      const [entry] = await training.step({ restart: true });
      accuracy.set({ parameters: await training.parameters() });
      const [testAccuracy] = await accuracy.value();
      return { validationLoss: entry!.outerLoss, testAccuracy: testAccuracy! };
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
  readonly after: Score;
  readonly label: string;
  readonly adapter: string;
}

function printJson({ before, grid, best, learned, after, label, adapter }: Result): void {
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
      eta: [...learned.hyper.eta.data],
      mu: [...learned.hyper.mu.data],
      before,
      after,
      best,
      grid,
      msPerOuterStep: learned.milliseconds,
    }),
  );
}

function printTables({ before, best, learned, after, label, adapter }: Result): void {
  const row = (name: string, { validationLoss, testAccuracy }: Score) => [
    name,
    validationLoss.toFixed(4),
    `${(100 * testAccuracy).toFixed(2)} %`,
  ];
  const lines = [
    plot(learned.hyper),
    "μ of step 1 does nothing: there is no velocity yet",
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

/** A line for each step: η_t and μ_t as numbers and bars. */
function plot({ eta, mu }: Schedule): string {
  const width = 24;
  const bars = ({ data }: Values, most: number) =>
    Array.from(data, (value) => "█".repeat(Math.round((width * value) / (most || 1))).padEnd(width));
  const etas = bars(eta, Math.max(...eta.data));
  const mus = bars(mu, 1);
  return table(
    ["t", "η", "", "μ", ""],
    etas.map((bar, i) => [String(i + 1), eta.data[i]!.toFixed(3), bar, mu.data[i]!.toFixed(3), mus[i]!]),
  );
}
