// Data hyper-cleaning with a convolutional network (generalized greedy gradient-based hyperparameter optimization, §5.3,
// Table 2): a weight for every training example is learned, by one estimator after the other, for several seeds side by
// side. A seed draws the label noise and w_0; the images are the same for all.

import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { estimatorList } from "../src/estimators/named.ts";
import { choice, nonNegativeNumber, positiveInteger } from "../src/host/arguments.ts";
import {
  add,
  avgPool,
  bestThreshold,
  bilevel,
  convNet,
  corruptLabels,
  crossEntropy,
  type Dataset,
  type Estimator,
  filled,
  firstOrder,
  formatBytes,
  Gpu,
  hypergradient,
  type MemoryReport,
  maxPool,
  mean,
  mul,
  parseArguments,
  perLane,
  print,
  Random,
  scale,
  sgd,
  sigmoid,
  squaredNorm,
  table,
  type Values,
  values,
} from "../src/index.ts";
import { accuracy, inputs } from "./common/accuracy.ts";
import { loadExamples } from "./common/examples.ts";
import {
  checkData,
  dataFlags,
  firstWeights,
  initialFlag,
  innerFlags,
  jsonFlag,
  momentumFlag,
  noiseFlag,
  orWord,
  outerFlags,
  outerOptimizerOf,
  outerStepsFlag,
  outFlag,
  seedFlag,
  sizeFlags,
} from "./common/flags.ts";
import { type Estimate, estimate, shown } from "./common/interval.ts";
import { laneOf, sideBySide } from "./common/lanes.ts";
import { finished } from "./common/learn.ts";
import { misplaced, otherOrder } from "./common/misplaced.ts";
import { assertReadable, recorded, recordFlags, scoresLogged, withoutRecording } from "./common/recorded.ts";

const NAME = "hypercleaning-cnn";
const TEST_GLYPHS = 2000;
/** Test images that are classified at once. */
const AT_ONCE = 500;
/** The row without learned weights. */
const NONE = "none";

const options = await parseArguments(
  NAME,
  object({
    estimators: withDefault(
      option("--estimators", string({ metavar: "LIST" }), {
        description: message`a row for each of these: names with commas between, values of their parameters after a colon; none trains with equal weights`,
      }),
      `${NONE},t1t2,neumann:5,greedy:0.9,greedy:auto,rmd,krmd:5`,
    ),
    seeds: withDefault(
      option("--seeds", positiveInteger("N"), {
        description: message`runs of each row, side by side, with label noise and first parameters of their own`,
      }),
      5,
    ),
    ...innerFlags({ steps: 10, lr: 0.1 }),
    ...momentumFlag(0.9),
    weightDecay: withDefault(
      option("--weight-decay", nonNegativeNumber("DECAY"), {
        description: message`the inner loss has half of it times ‖w‖²`,
      }),
      0,
    ),
    start: withDefault(
      option("--start", choice(["restart", "warm"]), {
        description: message`each inner loop starts from w_0, or from where the last one ended`,
      }),
      "restart" as const,
    ),
    ...outerStepsFlag(200),
    ...outerFlags({ outer: "adam", lr: 0.1 }),
    misplaced: option("--misplaced", {
      description: message`each outer step gives the hypergradient of an example to another one, as the authors' program does with that of T1–T2 and IFT`,
    }),
    testEvery: optional(
      option("--test-every", positiveInteger("N"), {
        description: message`test w_T after every N outer steps too, and report the best of them, as the authors' program does`,
      }),
    ),
    finalSteps: optional(
      option("--final-steps", positiveInteger("N"), {
        description: message`train for so many steps from w_0 with the learned weights, and test that too, beside the classifier that the last outer step ends with; with --resume another number may be given`,
      }),
    ),
    layers: withDefault(
      option("--layers", positiveInteger("N"), {
        description: message`convolutions by 3×3, each with relu and a 2×2 pool`,
      }),
      3,
    ),
    channels: withDefault(
      option("--channels", positiveInteger("N"), { description: message`of each of them` }),
      8,
    ),
    pooling: withDefault(
      option("--pooling", choice(["max", "average"]), { description: message`of each 2×2 pool` }),
      "max" as const,
    ),
    norm: option("--norm", { description: message`batch normalization after each convolution` }),
    hidden: optional(
      option("--hidden", positiveInteger("N"), {
        description: message`a dense layer of so many units before the last`,
      }),
    ),
    ...initialFlag(),
    ...sizeFlags({ train: 1000, val: 1000, glyphTest: TEST_GLYPHS }),
    val: withDefault(
      option("--val", orWord(["test"], positiveInteger("N")), {
        description: message`validation examples, none of which are training examples; test takes the test examples, as the paper does`,
      }),
      1000,
    ),
    valBatch: optional(
      option("--val-batch", positiveInteger("N"), {
        description: message`validation examples of an outer step, drawn anew for each; without it all`,
      }),
    ),
    centred: option("--centred", { description: message`pixels from -1 to 1 instead of 0 to 1` }),
    ...noiseFlag(0.5),
    ...dataFlags(),
    ...seedFlag(),
    ...outFlag(message`folder for the logs and checkpoints, one of each for each row`),
    ...recordFlags(`${NAME}-ROW`),
    ...jsonFlag(),
  }),
  {
    description:
      "Learns a weight for each training example of a small convolutional network from wrong labels, with several estimators and seeds, and compares the test accuracies.",
    check: (flags) =>
      checkData(flags) ??
      ((flags.checkpoint ?? flags.log) !== undefined && flags.estimators.includes(",")
        ? "--checkpoint and --log name the file of one row: give one estimator, or --out DIR for the files of all"
        : undefined),
  },
);
const { seeds, innerSteps, outerSteps } = options;
const loaded = await loadExamples({ ...options, glyphTest: TEST_GLYPHS });
const [train, val, test] = [loaded.train, loaded.val, loaded.test].map(scaled) as [Dataset, Dataset, Dataset];
const examples = train.labels.length;
/** Of each lane. */
const models = Array.from({ length: seeds }, (_, lane) =>
  convNet({
    image: [train.channels, train.rows, train.columns],
    layers: Array.from({ length: options.layers }, () => ({ channels: options.channels, pool: 2 })),
    hidden: options.hidden === undefined ? [] : [options.hidden],
    pooling: { max: maxPool, average: avgPool }[options.pooling],
    classes: train.classes,
    norm: options.norm,
    initial: firstWeights[options.initial],
    seed: options.seed + lane,
  }),
);
const noisy = Array.from({ length: seeds }, (_, lane) =>
  corruptLabels(train.labels, train.classes, options.noise, new Random(options.seed + lane).fork("noise")),
);
const model = models[0]!;

export const problem = weighted(perLane(filled([seeds, examples], 0)), innerSteps);
if (import.meta.main) await experiment();

function scaled(dataset: Dataset): Dataset {
  return options.centred ? { ...dataset, images: dataset.images.map((pixel) => 2 * pixel - 1) } : dataset;
}

/** The inner problem weighs each example by σ(λ), λ of the lane; the outer one is the loss on clean data. */
function weighted(lambda: Values, steps: number) {
  const first = Object.keys(model.parameters).map((name) => [
    name,
    sideBySide(models.map(({ parameters }) => parameters[name]!)),
  ]);
  return bilevel({
    lanes: seeds,
    parameters: Object.fromEntries(first) as Record<string, Values>,
    hyper: { lambda },
    inner: {
      data: {
        x: inputs(train),
        y: sideBySide(noisy.map(({ labels }) => values(labels))),
        ...otherOrder(examples, options.seed, 0),
      },
      loss: (w, { lambda }, { x, y, order }) => {
        const weights = options.misplaced ? misplaced(lambda, order) : lambda;
        const loss = mean(mul(sigmoid(weights), crossEntropy(model.apply(w, x), y)));
        return options.weightDecay === 0 ? loss : add(loss, scale(options.weightDecay / 2, squaredNorm(w)));
      },
      steps,
      optimizer: sgd({ lr: options.innerLr, momentum: options.momentum }),
    },
    outer: {
      data: { x: inputs(val), y: values(val.labels) },
      loss: (w, _lambda, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
      ...(options.valBatch !== undefined && { batch: options.valBatch }),
    },
    seed: options.seed,
  });
}

/** A row of the table: an estimator, or none. */
interface Row {
  readonly label: string;
  readonly estimator: Estimator;
  /** So many move λ: with one that does not move, restarts are all alike. */
  readonly outerSteps: number;
}

function rows(): Row[] {
  const names = options.estimators.split(",").map((name) => name.trim());
  return names.flatMap((name): Row[] =>
    name === NONE
      ? [{ label: NONE, estimator: firstOrder(), outerSteps: options.start === "warm" ? outerSteps : 1 }]
      : estimatorList(name, innerSteps).map((chosen) => ({ ...chosen, outerSteps })),
  );
}

interface Result {
  readonly label: string;
  readonly outerStepsDone: number;
  /** Of w_T of the last outer step. */
  readonly testAccuracy: Estimate;
  /** After every `--test-every` outer steps, of each seed, and the best of each. */
  readonly testAccuracies?: readonly { readonly outerStep: number; readonly each: readonly number[] }[];
  readonly bestAccuracy?: Estimate;
  /** Of what `--final-steps` from w_0 with the learned weights lead to. */
  readonly retrainedAccuracy?: Estimate;
  readonly validationLoss: Estimate;
  /** Of telling wrong labels from right ones by the best threshold of λ; absent where λ does not move. */
  readonly bestF1?: Estimate;
  readonly milliseconds: number;
  readonly memory: MemoryReport;
}

async function experiment(): Promise<void> {
  if (options.testEvery !== undefined) await assertReadable(options);
  const wanted = rows();
  const gpu = await Gpu.open();
  const results: Result[] = [];
  for (const row of wanted) {
    const { interrupted, ...result } = await run(gpu, row);
    results.push(result);
    if (interrupted) break;
  }
  if (options.json) printJson(results, gpu.choice.description);
  else printTable(results, gpu.choice.description);
  gpu.close();
}

async function run(
  gpu: Gpu,
  { label, estimator, outerSteps }: Row,
): Promise<Result & { interrupted: boolean }> {
  const steps = {
    gpu,
    estimator,
    optimizer: outerOptimizerOf(options),
    steps: outerSteps,
    mode: options.start,
    reshuffle: options.valBatch !== undefined,
    ...(options.misplaced && {
      data: (step: number) => ({ inner: otherOrder(examples, options.seed, step) }),
    }),
    label: `${label}, outer step`,
  };
  // "greedy(0.9)" to "greedy-0.9"
  const name = [NAME, ...label.split(/[(), ]+/)].filter(Boolean).join("-");
  // What the learned weights train to can be asked of a finished run again: it is no part of it.
  const { finalSteps: _, ...settings } = { ...asked(), estimator: label };
  const files = { name, out: options.out, settings };
  const accuracies = (parameters: Readonly<Record<string, Values>>) =>
    accuracy(gpu, model, test, { parameters, lanes: seeds, atOnce: AT_ONCE });
  const tested = async (parameters: Readonly<Record<string, Values>>) =>
    estimate(await accuracies(parameters));
  const learned = await finished(
    recorded(problem, steps, options, files, async ({ index, parameters }) =>
      index % (options.testEvery ?? Number.POSITIVE_INFINITY) === 0
        ? { testAccuracy: await accuracies(await parameters()) }
        : {},
    ),
  );
  const { lambda } = learned.hyper;
  const retrained =
    options.finalSteps === undefined
      ? undefined
      : await hypergradient(weighted(lambda, options.finalSteps), { gpu, estimator: firstOrder() });
  const found = noisy.map(({ corrupted }, lane) => {
    return bestThreshold(laneOf(lambda, lane).data as Float32Array, corrupted).f1;
  });
  return {
    label,
    outerStepsDone: learned.steps,
    testAccuracy: await tested(learned.parameters),
    ...(options.testEvery !== undefined && (await testedAlong(files))),
    ...(retrained !== undefined && { retrainedAccuracy: await tested(retrained.parameters) }),
    validationLoss: estimate(learned.lanes.map(({ outerLoss }) => outerLoss)),
    ...(label !== NONE && { bestF1: estimate(found) }),
    milliseconds: learned.milliseconds,
    memory: learned.memory,
    interrupted: learned.interrupted,
  };
}

/** The test accuracies in a run's log, and the best of each seed. */
async function testedAlong(files: {
  name: string;
  out: string;
}): Promise<Pick<Result, "bestAccuracy" | "testAccuracies">> {
  const testAccuracies = await scoresLogged(options, files, "testAccuracy");
  if (testAccuracies.length === 0) return {};
  const best = noisy.map((_, lane) => Math.max(...testAccuracies.map(({ each }) => each[lane]!)));
  return { testAccuracies, bestAccuracy: estimate(best) };
}

/** What was asked for, as it goes into the results. */
function asked() {
  const {
    data: _,
    json: _json,
    out: _out,
    set: _set,
    estimators: _list,
    ...rest
  } = withoutRecording(options);
  return { data: train.name, ...rest, test: test.labels.length };
}

function printJson(results: readonly Result[], adapter: string): void {
  print(
    JSON.stringify({
      ...asked(),
      adapter,
      rows: results.map(({ label, milliseconds, memory, ...result }) => ({
        estimator: label,
        ...result,
        msPerOuterStep: milliseconds,
        bytes: memory,
      })),
    }),
  );
}

function printTable(results: readonly Result[], adapter: string): void {
  const body = results.map((result) => [
    result.label,
    shown(result.testAccuracy, 2, 100),
    ...(options.testEvery === undefined
      ? []
      : [result.bestAccuracy === undefined ? "–" : shown(result.bestAccuracy, 2, 100)]),
    ...(result.retrainedAccuracy === undefined ? [] : [shown(result.retrainedAccuracy, 2, 100)]),
    shown(result.validationLoss, 4),
    result.bestF1 === undefined ? "–" : shown(result.bestF1, 3),
    String(result.outerStepsDone),
    result.milliseconds.toFixed(0),
    formatBytes(result.memory.total),
  ]);
  const headings = [
    "estimator",
    "test accuracy, %",
    ...(options.testEvery === undefined ? [] : ["best, %"]),
    ...(options.finalSteps === undefined ? [] : ["retrained, %"]),
    "validation loss",
    "F1, best threshold",
    "outer steps",
    "ms each",
    "bytes",
  ];
  const { finalSteps, start, momentum, innerLr, noise, valBatch } = options;
  const each = valBatch === undefined ? "" : `, ${valBatch} of them an outer step`;
  const validation =
    options.val === "test"
      ? `the test images${each}`
      : `${val.labels.length} other images${each} (the paper: on the test images)`;
  const lines = [
    table(headings, body),
    "",
    `${train.name}, each label redrawn with probability ${noise}: ${examples} training images; validation on ${validation}; ${test.labels.length} test images`,
    `T = ${innerSteps}, η = ${innerLr}, μ = ${momentum}, ${start}; tested: w_T of the last outer step${finalSteps === undefined ? "" : `; retrained: ${finalSteps} steps from w_0 with the learned weights`}`,
    seeds === 1
      ? `one seed, ${options.seed}`
      : `mean and 95 % interval (Student's t) over ${seeds} seeds, which differ in label noise and w_0`,
    `adapter: ${adapter}`,
  ];
  print(lines.join("\n"));
}
