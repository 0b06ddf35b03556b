// Strengths of L2 regularisation (Pedregosa 2016, HOAG): multinomial logistic regression on few examples, whose penalty
// Σ e^λ w² is learned from the validation loss; one λ for all weights, or one for each.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { float } from "@optique/core/valueparser";
import {
  add,
  bestThreshold,
  bilevel,
  box,
  correct,
  crossEntropy,
  type Dataset,
  differentiate,
  exp,
  filled,
  firstOrder,
  Gpu,
  linear,
  mean,
  mul,
  OuterLoop,
  parseArguments,
  print,
  Random,
  sgd,
  square,
  sum,
  table,
  type Values,
  values,
} from "../src/index.ts";
import { inputs } from "./common/accuracy.ts";
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
/** Of the generated set: features, and how many of them say anything of the class. */
const FEATURES = 100;
const INFORMATIVE = 10;
/** Fixed strengths to compare with. */
const GRID = [-12, -10, -8, -7, -6, -5, -4, -3, -2, -1];

const options = await parseArguments(
  "ridge",
  object({
    perParameter: option("--per-parameter", {
      description: message`learn a strength for each weight, not one for all`,
    }),
    generated: option("--generated", {
      description: message`two classes and 100 features of which 10 are informative, instead of images`,
    }),
    start: withDefault(
      option("--start", float({ metavar: "LAMBDA" }), {
        description: message`the first λ; the strength is e^λ`,
      }),
      -8,
    ),
    ...estimatorFlags("rmd"),
    ...innerFlags({ steps: 100, lr: 0.5 }),
    ...momentumFlag(0.9),
    ...outerStepsFlag(40),
    ...outerFlags({ outer: "adam", lr: 0.2 }),
    ...sizeFlags({ train: 200, val: 400, glyphTest: TEST }),
    ...dataFlags(),
    ...seedFlag(),
    ...jsonFlag(),
  }),
  {
    description:
      "Learns the strength of the L2 penalty of a linear classifier, for all weights or for each, and compares it with a grid of fixed strengths.",
    check: (flags) =>
      checkEstimator(flags) ??
      checkData(flags) ??
      (flags.generated && flags.data !== undefined
        ? "--generated and --data exclude each other"
        : undefined) ??
      (flags.innerLr === 0 ? "--inner-lr 0 trains nothing: give a rate > 0" : undefined) ??
      (flags.start > strongest(flags)
        ? `--start ${flags.start} is not stable with --inner-lr ${flags.innerLr}: give at most ${strongest(flags).toFixed(2)}`
        : undefined),
  },
);
const { train, val, test, informative } = options.generated ? generate() : await images();
const features = train.rows * train.columns;
const model = linear(features, train.classes);

export const problem = bilevel({
  parameters: model.parameters,
  hyper: {
    lambda: options.perParameter
      ? filled(model.parameters.weight.shape, options.start)
      : filled([], options.start),
  },
  constraints: { lambda: box({ upper: strongest(options) }) },
  inner: {
    data: { x: inputs(train), y: values(train.labels) },
    loss: (w, { lambda }, { x, y }) =>
      add(mean(crossEntropy(model.apply(w, x), y)), sum(mul(exp(lambda), square(w.weight)))),
    steps: options.innerSteps,
    optimizer: sgd({ lr: options.innerLr, momentum: options.momentum }),
  },
  outer: {
    data: { x: inputs(val), y: values(val.labels) },
    loss: (w, _lambda, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
  },
});

if (import.meta.main) await experiment();

async function experiment(): Promise<void> {
  const { estimator, label } = estimatorOf(options);
  const gpu = await Gpu.open();
  const score = await scorer(gpu);
  const grid: { lambda: number; score: Score }[] = [];
  for (const lambda of GRID.filter((lambda) => lambda <= strongest(options))) {
    grid.push({ lambda, score: await score(filled(problem.hyper.lambda.shape, lambda)) });
  }
  const before = await score(problem.hyper.lambda);
  const learned = await learn(problem, {
    gpu,
    estimator,
    optimizer: outerOptimizerOf(options),
    steps: options.outerSteps,
  });
  const after = await score(learned.hyper.lambda);
  const result = { grid, before, learned, after, label, adapter: gpu.choice.description };
  if (options.json) printJson(result);
  else printTables(result);
  gpu.close();
}

/** Beyond this λ the penalty alone makes an inner step with this rate overshoot: 2 η e^λ ≤ 1. */
function strongest({ innerLr }: { innerLr: number }): number {
  return Math.log(0.5 / innerLr);
}

async function images() {
  return { ...(await loadExamples({ ...options, glyphTest: TEST })), informative: undefined };
}

/** Normal features; the class is drawn from the logistic model of a few of them. */
function generate() {
  const random = new Random(options.seed).fork("ridge");
  const order = random.permutation(FEATURES).subarray(0, INFORMATIVE);
  const informative = Uint8Array.from({ length: FEATURES }, (_, feature) =>
    order.includes(feature) ? 1 : 0,
  );
  const truth = Float32Array.from(informative, (there) => there * (random.uniform() < 0.5 ? -1 : 1));
  const draw = (count: number): Dataset => {
    const images = Float32Array.from({ length: count * FEATURES }, () => random.normal());
    const labels = Int32Array.from({ length: count }, (_, row) => {
      const score = truth.reduce((sum, weight, j) => sum + weight * images[row * FEATURES + j]!, 0);
      return random.uniform() < 1 / (1 + Math.exp(-score)) ? 1 : 0;
    });
    return { name: "generated", images, labels, channels: 1, rows: 1, columns: FEATURES, classes: 2 };
  };
  const { train, val, test = TEST } = options;
  return { train: draw(train), val: draw(val), test: draw(test), informative };
}

interface Score {
  readonly validationLoss: number;
  readonly testLoss: number;
  readonly testAccuracy: number;
}

/** Trains with a fixed λ and measures the classifier. */
async function scorer(gpu: Gpu): Promise<(lambda: Values) => Promise<Score>> {
  const training = await OuterLoop.prepare(problem, { gpu, estimator: firstOrder() });
  const spec = { parameters: model.parameters, data: { x: inputs(test), y: values(test.labels) } };
  const loss = await differentiate(gpu, {
    ...spec,
    loss: (w, _hyper, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
  });
  const accuracy = await differentiate(gpu, {
    ...spec,
    loss: (w, _hyper, { x, y }) => mean(correct(model.apply(w, x), y)),
  });
  return async (lambda) => {
    training.setHyper({ lambda });
    const [entry] = await training.step({ restart: true });
    const parameters = await training.parameters();
    loss.set({ parameters });
    accuracy.set({ parameters });
    const [testLoss, testAccuracy] = [(await loss.value())[0]!, (await accuracy.value())[0]!];
    return { validationLoss: entry!.outerLoss, testLoss, testAccuracy };
  };
}

interface Result {
  readonly grid: readonly { lambda: number; score: Score }[];
  readonly before: Score;
  readonly learned: Learned<"lambda">;
  readonly after: Score;
  readonly label: string;
  readonly adapter: string;
}

/** Of the generated set: how well a feature's λ, the lower of its two weights', tells which are informative. */
function recovered({ data }: Values) {
  if (informative === undefined || !options.perParameter) return undefined;
  const lambda = Float32Array.from({ length: FEATURES }, (_, j) => Math.min(data[j]!, data[FEATURES + j]!));
  const average = (wanted: number) => {
    const those = lambda.filter((_, j) => informative[j] === wanted);
    return those.reduce((sum, value) => sum + value, 0) / those.length;
  };
  return {
    informative: average(1),
    others: average(0),
    bestF1: bestThreshold(lambda, informative).f1,
  };
}

function printJson({ grid, before, learned, after, label, adapter }: Result): void {
  const {
    data: _data,
    json: _json,
    set: _set,
    generated: _generated,
    ...settings
  } = withoutParameters(options);
  print(
    JSON.stringify({
      data: train.name,
      ...settings,
      test: test.labels.length,
      estimator: label,
      adapter,
      outerStepsDone: learned.losses.length,
      losses: learned.losses,
      lambda: [...learned.hyper.lambda.data],
      before,
      after,
      grid: grid.map(({ lambda, score }) => ({ lambda, ...score })),
      ...(informative && options.perParameter && { recovered: recovered(learned.hyper.lambda) }),
      msPerOuterStep: learned.milliseconds,
    }),
  );
}

function printTables({ grid, before, learned, after, label, adapter }: Result): void {
  const row = (name: string, { validationLoss, testLoss, testAccuracy }: Score) => [
    name,
    validationLoss.toFixed(4),
    testLoss.toFixed(4),
    `${(100 * testAccuracy).toFixed(2)} %`,
  ];
  const { data } = learned.hyper.lambda;
  const sorted = [...data].sort((a, b) => a - b);
  const quantile = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!.toFixed(2);
  const end = options.perParameter
    ? `learned for each of ${data.length} weights`
    : `learned: λ = ${quantile(0)}`;
  const found = recovered(learned.hyper.lambda);
  const lines = [
    table(
      ["", "validation loss", "test loss", "test accuracy"],
      [
        ...grid.map(({ lambda, score }) => row(`fixed: λ = ${lambda}`, score)),
        row(`start: λ = ${options.start}`, before),
        row(end, after),
      ],
    ),
    "",
    ...(options.perParameter
      ? [`quartiles of the learned λ: ${[0, 0.25, 0.5, 0.75, 1].map(quantile).join(", ")}`]
      : []),
    ...(found
      ? [
          `mean λ of the ${INFORMATIVE} informative features ${found.informative.toFixed(2)}, of the others ${found.others.toFixed(2)}; told apart by a threshold with F1 ${found.bestF1.toFixed(3)}`,
        ]
      : []),
    `${train.name}: ${train.labels.length} training, ${val.labels.length} validation, ${test.labels.length} test examples of ${features} numbers`,
    `${label}: ${learned.losses.length} outer steps of ${learned.milliseconds.toFixed(0)} ms (median)`,
    `adapter: ${adapter}`,
  ];
  print(lines.join("\n"));
}
