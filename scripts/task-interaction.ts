// Task interaction (Franceschi et al. 2017, §5.2; Shaban et al. 2019, §4.2.2, Table 3): V linear models, one for each
// class, learn from few examples under the penalty Σ C_ij ‖w_i − w_j‖² + ρ Σ ‖w_i‖². Which tasks are alike, the symmetric
// C ≥ 0, and ρ are learned from the validation loss, by one estimator after the other, for several seeds side by side. A
// seed draws the training and the validation examples. The papers' features are those of a network that was trained on
// other images; here they are means of pixels, so that accuracies are lower than theirs.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { estimatorList } from "../src/estimators/named.ts";
import { choice, path, positiveInteger } from "../src/host/arguments.ts";
import {
  add,
  bilevel,
  crossEntropy,
  type Estimator,
  filled,
  firstOrder,
  formatBytes,
  Gpu,
  imageSize,
  linear,
  type MemoryReport,
  matmul,
  mean,
  mul,
  nonNegative,
  parseArguments,
  perLane,
  print,
  Random,
  reshape,
  rmd,
  scale,
  sgd,
  square,
  squaredNorm,
  sub,
  sum,
  symmetric,
  type Tensor,
  table,
  take,
  UsageError,
  type Values,
  values,
} from "../src/index.ts";
import { accuracy, inputs } from "./common/accuracy.ts";
import { balancedOrder, imageSets, loadClassVectors, SQUARED_LENGTH } from "./common/class_vectors.ts";
import {
  innerFlags,
  jsonFlag,
  momentumFlag,
  outerFlags,
  outerOptimizerOf,
  outerStepsFlag,
  outFlag,
  seedFlag,
} from "./common/flags.ts";
import { type Estimate, estimate, shown } from "./common/interval.ts";
import { laneOf, sideBySide } from "./common/lanes.ts";
import { finished } from "./common/learn.ts";
import { recorded, recordFlags, withoutRecording } from "./common/recorded.ts";

const NAME = "task-interaction";
/** The rows without C: nothing is learned, or ρ alone, by exact reverse mode. */
const NONE = "none";
const RIDGE = "ridge";
/** Of the generated sets. */
const SIZES = { pool: 1000, test: 1000 };
const STRONGEST = 5;
const CLASS_NAMES: Readonly<Record<string, readonly string[]>> = {
  cifar10: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
};

const options = await parseArguments(
  NAME,
  object({
    estimators: withDefault(
      option("--estimators", string({ metavar: "LIST" }), {
        description: message`a row for each of these: names with commas between, values of their parameters after a colon; none learns nothing, ridge learns ρ alone`,
      }),
      `${NONE},krmd:1,krmd:5,rmd`,
    ),
    seeds: withDefault(
      option("--seeds", positiveInteger("N"), {
        description: message`runs of each row, side by side, with training and validation examples of their own`,
      }),
      5,
    ),
    ...innerFlags({ steps: 100, lr: 0.1 }),
    ...momentumFlag(0),
    ...outerStepsFlag(40),
    ...outerFlags({ outer: "adam", lr: 1e-3 }),
    train: withDefault(
      option("--train", positiveInteger("N"), {
        description: message`training examples of a seed, equally many of each class; the papers take 50 of CIFAR-10 and 300 of CIFAR-100`,
      }),
      50,
    ),
    val: withDefault(
      option("--val", positiveInteger("N"), { description: message`validation examples, likewise` }),
      50,
    ),
    generated: option("--generated", {
      description: message`vectors of 10 classes in families of two, where it is known which are alike, instead of images`,
    }),
    data: optional(
      option("--data", path("DIR"), {
        description: message`folder of an image set, or the folder above it; without it, built-in glyphs`,
      }),
    ),
    set: optional(
      option("--set", choice(imageSets), {
        description: message`with --data: which set is in it [cifar10]`,
      }),
    ),
    pool: withDefault(
      option("--pool", positiveInteger("K"), {
        description: message`features are means of K × K pixels of a colour`,
      }),
      2,
    ),
    ...seedFlag(),
    ...outFlag(message`folder for the logs and checkpoints, one of each for each row`),
    ...recordFlags(`${NAME}-ROW`),
    ...jsonFlag(),
  }),
  {
    description:
      "Learns which of the linear models of several classes are alike, from few examples, with several estimators and seeds, and compares the test accuracies.",
    check({ generated, data, set, checkpoint, log, estimators }) {
      if (generated && data !== undefined)
        return "--generated and --data exclude each other: give one of them";
      if (set !== undefined && data === undefined) return `--set ${set} needs --data DIR`;
      if ((checkpoint ?? log) !== undefined && estimators.includes(","))
        return "--checkpoint and --log name the file of one row: give one estimator, or --out DIR for the files of all";
      return undefined;
    },
  },
);
const { seeds, innerSteps, outerSteps } = options;
const vectors = await loadClassVectors({ ...options, sizes: SIZES });
const { classes } = vectors.pool;
const model = linear(imageSize(vectors.pool), classes);
const examples = Array.from({ length: seeds }, (_, lane) => drawn(options.seed + lane));

export const problem = interacting();
if (import.meta.main) await experiment();

/** The training and validation examples of a seed. */
function drawn(seed: number) {
  const { train, val } = options;
  const { labels, name } = vectors.pool;
  if (train + val > labels.length)
    throw new UsageError(
      `--train and --val ask for ${train + val} examples of ${name}, which has ${labels.length}`,
    );
  const order = balancedOrder(labels, new Random(seed).fork("split"));
  return {
    train: take(vectors.pool, order.subarray(0, train)),
    val: take(vectors.pool, order.subarray(train, train + val)),
  };
}

function interacting() {
  const data = (part: "train" | "val") => ({
    x: sideBySide(examples.map((own) => inputs(own[part]))),
    y: sideBySide(examples.map((own) => values(own[part].labels))),
  });
  return bilevel({
    lanes: seeds,
    parameters: model.parameters,
    hyper: {
      interaction: perLane(filled([seeds, classes, classes], 0)),
      rho: perLane(filled([seeds], 0)),
    },
    constraints: { interaction: [symmetric(), nonNegative()], rho: nonNegative() },
    inner: {
      data: data("train"),
      loss: (w, { interaction, rho }, { x, y }) =>
        add(
          mean(crossEntropy(model.apply(w, x), y)),
          add(sum(mul(interaction, squaredDistances(w.weight))), mul(rho, squaredNorm(w.weight))),
        ),
      steps: innerSteps,
      optimizer: sgd({ lr: options.innerLr, momentum: options.momentum }),
    },
    outer: {
      data: data("val"),
      loss: (w, _alpha, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
    },
  });
}

/** ‖w_i − w_j‖² of all rows i and j: each pair twice. */
function squaredDistances(w: Tensor): Tensor {
  const lengths = sum(square(w), 1);
  const both = add(reshape(lengths, [-1, 1]), reshape(lengths, [1, -1]));
  return sub(both, scale(2, matmul(w, w, { transposeB: true })));
}

/** A row of the table. */
interface Row {
  readonly label: string;
  readonly estimator: Estimator;
  /** What is learned. */
  readonly learns: readonly ("interaction" | "rho")[];
}

function rows(): Row[] {
  const names = options.estimators.split(",").map((name) => name.trim());
  return names.flatMap((name): Row[] => {
    if (name === NONE) return [{ label: NONE, estimator: firstOrder(), learns: [] }];
    if (name === RIDGE) return [{ label: RIDGE, estimator: rmd(), learns: ["rho"] }];
    return estimatorList(name, innerSteps).map((row) => ({ ...row, learns: ["interaction", "rho"] }));
  });
}

interface Result {
  readonly label: string;
  readonly outerStepsDone: number;
  readonly testAccuracy: Estimate;
  readonly validationLoss: Estimate;
  readonly rho: Estimate;
  /** C, the mean over seeds; absent where it is not learned. */
  readonly interaction?: number[][];
  /** Of the generated classes: the mean of C_ij over the pairs of a family, and over all others. */
  readonly families?: { readonly within: Estimate; readonly across: Estimate };
  readonly milliseconds: number;
  readonly memory: MemoryReport;
}

async function experiment(): Promise<void> {
  const wanted = rows();
  const gpu = await Gpu.open();
  const results: Result[] = [];
  for (const row of wanted) {
    const { interrupted, ...result } = await run(gpu, row);
    results.push(result);
    if (interrupted) break;
  }
  if (options.json) printJson(results, gpu.choice.description);
  else printTables(results, gpu.choice.description);
  gpu.close();
}

async function run(gpu: Gpu, { label, estimator, learns }: Row): Promise<Result & { interrupted: boolean }> {
  const steps = {
    gpu,
    estimator,
    optimizer: Object.fromEntries(learns.map((group) => [group, outerOptimizerOf(options)])),
    // With nothing that moves, all outer steps are alike.
    steps: learns.length === 0 ? 1 : outerSteps,
    label: `${label}, outer step`,
  };
  // "krmd(5)" to "krmd-5"
  const name = [NAME, ...label.split(/[(), ]+/)].filter(Boolean).join("-");
  const settings = { ...asked(), estimator: label };
  const learned = await finished(recorded(problem, steps, options, { name, out: options.out, settings }));
  const { parameters, lanes, hyper } = learned;
  const interactions = examples.map((_, lane) => laneOf(hyper.interaction, lane));
  return {
    label,
    outerStepsDone: learned.steps,
    testAccuracy: estimate(await accuracy(gpu, model, vectors.test, { parameters, lanes: seeds })),
    validationLoss: estimate(lanes.map(({ outerLoss }) => outerLoss)),
    rho: estimate([...hyper.rho.data]),
    ...(learns.includes("interaction") && {
      interaction: meanMatrix(interactions),
      ...(options.generated && { families: familiesIn(interactions) }),
    }),
    milliseconds: learned.milliseconds,
    memory: learned.memory,
    interrupted: learned.interrupted,
  };
}

function meanMatrix(matrices: readonly Values[]): number[][] {
  return Array.from({ length: classes }, (_, i) =>
    Array.from({ length: classes }, (_, j) => {
      const all = matrices.map(({ data }) => data[i * classes + j]!);
      return all.reduce((sum, value) => sum + value, 0) / all.length;
    }),
  );
}

/** The mean C_ij within families of two classes, and across. */
function familiesIn(matrices: readonly Values[]): { within: Estimate; across: Estimate } {
  const pairs = pairsOf(classes);
  const meanOver = (wanted: (i: number, j: number) => boolean) => {
    const chosen = pairs.filter(([i, j]) => wanted(i, j));
    return estimate(
      matrices.map(
        ({ data }) => chosen.reduce((sum, [i, j]) => sum + data[i * classes + j]!, 0) / chosen.length,
      ),
    );
  };
  return { within: meanOver((i, j) => i >> 1 === j >> 1), across: meanOver((i, j) => i >> 1 !== j >> 1) };
}

/** i < j */
function pairsOf(count: number): [number, number][] {
  return Array.from({ length: count }, (_, i) => i).flatMap((i) =>
    Array.from({ length: count - i - 1 }, (_, k): [number, number] => [i, i + 1 + k]),
  );
}

/** What was asked for, as it goes into the results. */
function asked() {
  const {
    data: _,
    json: _json,
    out: _out,
    set: _set,
    generated: _generated,
    estimators: _list,
    ...rest
  } = withoutRecording(options);
  return { data: vectors.pool.name, ...rest, classes, features: imageSize(vectors.pool), test: tests() };
}

function tests(): number {
  return vectors.test.labels.length;
}

function printJson(results: readonly Result[], adapter: string): void {
  const rows = results.map(({ label, milliseconds, memory, ...result }) => ({
    estimator: label,
    ...result,
    msPerOuterStep: milliseconds,
    bytes: memory,
  }));
  print(JSON.stringify({ ...asked(), adapter, rows }));
}

function printTables(results: readonly Result[], adapter: string): void {
  const headings = [
    "estimator",
    "test accuracy, %",
    "validation loss",
    "ρ",
    "outer steps",
    "ms each",
    "bytes",
  ];
  const body = results.map((result) => [
    result.label,
    shown(result.testAccuracy, 2, 100),
    shown(result.validationLoss, 4),
    shown(result.rho, 4),
    String(result.outerStepsDone),
    result.milliseconds.toFixed(0),
    formatBytes(result.memory.total),
  ]);
  const { train, val, pool, innerLr, momentum } = options;
  const { name, channels, rows, columns } = vectors.pool;
  const features = options.generated
    ? `${columns} features`
    : `${channels} × ${rows} × ${columns} means of ${pool} × ${pool} pixels (the papers: a trained network's features)`;
  const lines = [
    table(headings, body),
    "",
    ...results.flatMap(learnedInteraction),
    "",
    `${name}: ${classes} classes, ${train} training and ${val} validation examples, ${tests()} test examples`,
    `${features}, centred, of mean squared length ${SQUARED_LENGTH}`,
    `T = ${innerSteps}, η = ${innerLr}, μ = ${momentum}, from w_0 = 0; C = 0 and ρ = 0 at first`,
    seeds === 1
      ? `one seed, ${options.seed}`
      : `mean and 95 % interval (Student's t) over ${seeds} seeds, which differ in training and validation examples`,
    `adapter: ${adapter}`,
  ];
  print(lines.join("\n"));
}

/** The pairs of classes that C joins most. */
function learnedInteraction({ label, interaction, families }: Result): string[] {
  if (interaction === undefined) return [];
  const named = CLASS_NAMES[vectors.pool.name] ?? [];
  const strongest = pairsOf(classes)
    .map(([i, j]) => ({ names: `${named[i] ?? i}–${named[j] ?? j}`, value: interaction[i]![j]! }))
    .sort((one, other) => other.value - one.value)
    .slice(0, STRONGEST);
  const known = families
    ? `; within families ${shown(families.within, 4)}, across ${shown(families.across, 4)}`
    : "";
  return [
    `${label}: C is largest for ${strongest.map(({ names, value }) => `${names} ${value.toFixed(4)}`).join(", ")}${known}`,
  ];
}
