// Data hyper-cleaning (Shaban et al. 2019, §4.2.1): finds the wrong labels of a training set by learning a weight for
// every training example, such that a linear classifier trained with these weights does well on clean validation data.

import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import {
  add,
  assertWritable,
  bestThreshold,
  bilevel,
  corruptLabels,
  crossEntropy,
  type Dataset,
  firstOrder,
  flagScore,
  formatReport,
  Gpu,
  hypergradient,
  linear,
  mean,
  mul,
  note,
  parseArguments,
  print,
  Random,
  scale,
  sgd,
  sheet,
  sigmoid,
  squaredNorm,
  table,
  values,
  writeFile,
} from "../src/index.ts";
import { accuracy, imageRows } from "./common/accuracy.ts";
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
  noiseFlag,
  outerFlags,
  outerOptimizerOf,
  outerStepsFlag,
  outFlag,
  seedFlag,
  sizeFlags,
  withoutParameters,
} from "./common/flags.ts";
import { finished, type Learned } from "./common/learn.ts";
import { recorded, recordFlags, withoutRecording } from "./common/recorded.ts";

const NAME = "hypercleaning";
const TEST_GLYPHS = 2000;
const L2 = 0.001;
/** An example is flagged as wrong when σ(λ) < σ(-3), as in the paper. */
const FLAGGED = -3;
/** σ of it is 1 in float32, and σ of its negative 0. */
const SURE = 200;
const PICTURED = 36;

const options = await parseArguments(
  NAME,
  object({
    ...estimatorFlags("krmd"),
    ...innerFlags({ steps: 20, lr: 1 }),
    ...momentumFlag(0),
    ...outerStepsFlag(40),
    ...outerFlags({ outer: "adam", lr: 0.1 }),
    ...sizeFlags({ train: 1000, val: 1000, glyphTest: TEST_GLYPHS }),
    ...noiseFlag(0.5),
    ...dataFlags(),
    ...seedFlag(),
    ...outFlag(message`folder for the picture and the learned weights`),
    ...recordFlags(NAME),
    ...jsonFlag(),
  }),
  {
    description:
      "Learns a weight σ(λ) for each training example of a linear classifier so that its validation loss falls; wrong labels end with the lowest weights.",
    check: (flags) => checkEstimator(flags) ?? checkData(flags),
  },
);
const { train, val, test, trainIndex } = await loadExamples({ ...options, glyphTest: TEST_GLYPHS });
const random = new Random(options.seed);
const { labels, corrupted } = corruptLabels(train.labels, train.classes, options.noise, random.fork("noise"));
const pixels = train.rows * train.columns;
const model = linear(pixels, train.classes);
// σ(0) = ½ for all, as in the paper; ±1 was tried and ends at the same validation loss.
const start = new Float32Array(options.train);

const files = {
  picture: `${options.out}/hypercleaning.png`,
  weights: `${options.out}/hypercleaning-weights.json`,
};

export const problem = weighted(start);
if (import.meta.main) await experiment();

/** The inner problem weighs each example by σ(λ); the outer one is the loss on clean data. */
function weighted(lambda: Float32Array) {
  return bilevel({
    parameters: model.parameters,
    hyper: { lambda: values(lambda) },
    inner: {
      data: { x: imageRows(train), y: values(labels) },
      loss: (w, { lambda }, { x, y }) =>
        add(mean(mul(sigmoid(lambda), crossEntropy(model.apply(w, x), y))), scale(L2, squaredNorm(w))),
      steps: options.innerSteps,
      optimizer: sgd({ lr: options.innerLr, momentum: options.momentum }),
    },
    outer: {
      data: { x: imageRows(val), y: values(val.labels) },
      loss: (w, _lambda, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
    },
  });
}

/** Cleans, and says what that was good for. */
async function experiment(): Promise<void> {
  const { estimator, label } = estimatorOf(options);
  if (options.estimator === "first-order") {
    note("first-order sees no weights in the validation loss: its hypergradient is zero, nothing will move");
  }
  for (const file of Object.values(files)) await assertWritable(file);
  const gpu = await Gpu.open();
  const baseline = await trained(gpu, start);
  const sure = Float32Array.from(corrupted, (wrong) => (wrong ? -SURE : SURE));
  const ceiling = await trained(gpu, sure);
  const steps = { gpu, estimator, optimizer: outerOptimizerOf(options), steps: options.outerSteps };
  const run = { name: NAME, out: options.out, settings: settings(label) };
  const learned = await finished(recorded(problem, steps, options, run));
  const lambda = learned.hyper.lambda.data as Float32Array;
  await saveWeights(lambda, { ...run.settings, outerStepsDone: learned.steps });
  const results: Results = {
    adapter: gpu.choice.description,
    label,
    learned,
    scores: { baseline, ceiling, cleaned: await trained(gpu, lambda) },
    flagged: Array.from(lambda, (weight) => weight < FLAGGED),
    best: bestThreshold(lambda, corrupted),
  };
  if (options.json) printJson(results);
  else printTables(results);
  await writeFile(files.picture, drawLowest(lambda));
  if (!options.json) printFiles();
  gpu.close();
}

interface Results {
  readonly adapter: string;
  /** Of the estimator. */
  readonly label: string;
  readonly learned: Learned<"lambda">;
  readonly scores: Readonly<Record<"baseline" | "ceiling" | "cleaned", Score>>;
  /** Which examples are said to be wrong. */
  readonly flagged: readonly boolean[];
  readonly best: ReturnType<typeof bestThreshold>;
}

interface Score {
  readonly testAccuracy: number;
  readonly validationAccuracy: number;
  readonly validationLoss: number;
}

/** The classifier that T steps with these weights give. */
async function trained(gpu: Gpu, lambda: Float32Array): Promise<Score> {
  const { parameters, outerLoss } = await hypergradient(weighted(lambda), { gpu, estimator: firstOrder() });
  const [testAccuracy] = await accuracy(gpu, model, test, { parameters });
  const [validationAccuracy] = await accuracy(gpu, model, val, { parameters });
  return {
    testAccuracy: testAccuracy!,
    validationAccuracy: validationAccuracy!,
    validationLoss: outerLoss,
  };
}

/** What was asked for, as it goes into the results. */
function settings(label: string) {
  const asked = withoutRecording(withoutParameters(options));
  const { data: _, json: _json, out: _out, set: _set, ...rest } = asked;
  return { data: train.name, ...rest, estimator: label, test: test.labels.length };
}

async function saveWeights(lambda: Float32Array, settings: object): Promise<void> {
  const file = {
    settings,
    // Nine digits are enough to tell a 32-bit float from its neighbours.
    lambda: Array.from(lambda, (weight) => Number(weight.toPrecision(9))),
    /** The labels trained with, which of them are wrong, and the examples' numbers in the training file. */
    label: [...labels],
    wrong: [...corrupted],
    example: [...trainIndex],
  };
  await writeFile(files.weights, `${JSON.stringify(file)}\n`);
}

/** The examples of lowest weight, each beside the mean validation image of the class that its label names. */
function drawLowest(lambda: Float32Array): Uint8Array {
  const { rows, columns } = train;
  const order = [...lambda.keys()].sort((i, j) => lambda[i]! - lambda[j]!);
  const typical = Array.from({ length: train.classes }, (_, label) => meanImage(val, label));
  const tiles = order.slice(0, PICTURED).map((i) => ({
    images: [train.images.subarray(i * pixels, (i + 1) * pixels), typical[labels[i]!]!],
    frame: corrupted[i] ? ([220, 50, 47] as const) : ([130, 130, 130] as const),
  }));
  return sheet(tiles, { rows, columns, across: 6 });
}

function meanImage({ images, labels }: Dataset, label: number): Float32Array {
  const image = new Float32Array(pixels);
  labels.forEach((other, i) => {
    if (other !== label) return;
    for (let pixel = 0; pixel < pixels; pixel++) image[pixel]! += images[i * pixels + pixel]!;
  });
  const brightest = image.reduce((most, value) => Math.max(most, value), 0);
  return image.map((value) => value / (brightest || 1));
}

function printJson({ adapter, label, learned, scores, flagged, best }: Results): void {
  const { baseline, ceiling, cleaned } = scores;
  const result = {
    ...settings(label),
    outerStepsDone: learned.steps,
    adapter,
    ...cleaned,
    f1: flagScore(flagged, corrupted).f1,
    bestF1: best.f1,
    bestThreshold: best.threshold,
    baseline,
    ceiling,
    msPerOuterStep: learned.milliseconds,
    bytes: learned.memory,
  };
  print(JSON.stringify(result));
}

function printTables({ adapter, label, learned, scores, flagged, best }: Results): void {
  const row = (name: string, { testAccuracy, validationAccuracy, validationLoss }: Score) => [
    name,
    percent(testAccuracy),
    percent(validationAccuracy),
    validationLoss.toFixed(4),
  ];
  const { f1 } = flagScore(flagged, corrupted);
  const wrong = corrupted.filter(Boolean).length;
  const lines = [
    table(
      ["", "test accuracy", "validation accuracy", "validation loss"],
      [
        row("without cleaning", scores.baseline),
        row("with cleaning", scores.cleaned),
        row("clean part alone", scores.ceiling),
      ],
    ),
    "",
    `${wrong} of ${options.train} labels are wrong; ${flagged.filter(Boolean).length} are flagged (λ < ${FLAGGED}): F1 ${f1.toFixed(3)}`,
    `best threshold: λ < ${best.threshold.toFixed(2)}: F1 ${best.f1.toFixed(3)}`,
    `${label}: ${learned.steps} outer steps of ${learned.milliseconds.toFixed(0)} ms (median)`,
    `GPU memory: ${formatReport(learned.memory)}`,
    `adapter: ${adapter}`,
    "",
  ];
  print(lines.join("\n"));
}

function printFiles(): void {
  print(
    `${files.picture}: the ${Math.min(PICTURED, options.train)} examples of lowest weight, each beside what its label stands for; red frames: wrong labels`,
  );
  print(`${files.weights}: every example's weight`);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
