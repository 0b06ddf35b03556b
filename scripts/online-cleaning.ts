// Online data cleaning (Ehrhardt & Roberts, arXiv 2301.04764): weights for the examples of a logistic regression, some of
// whose labels are wrong. The inner problem is solved to a tolerance ε from where the last outer step left it, and the
// linear system of the hypergradient to a tolerance δ: by conjugate gradients (IFT+CG), by gradient descent (AD+GD) or by
// heavy ball (AD+HB). How far does each come with the same work? The solvers run on the host, which decides after every
// gradient or product whether another one is needed; these come from the GPU, by `differentiate`.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { float } from "@optique/core/valueparser";
import { choice, listOf, nonNegativeNumber, positiveInteger } from "../src/host/arguments.ts";
import {
  bestThreshold,
  type Checkpoint,
  corruptLabels,
  type Figure,
  Gpu,
  type ImplicitBound,
  parseArguments,
  print,
  Random,
  table,
} from "../src/index.ts";
import { accuracy } from "./common/accuracy.ts";
import { deliver } from "./common/deliver.ts";
import { loadExamples } from "./common/examples.ts";
import { checkData, dataFlags, figureFlag, jsonFlag, outFlag, seedFlag, sizeFlags } from "./common/flags.ts";
import {
  type CleaningNews,
  LEAST_WORK,
  type Method,
  methods,
  OnlineCleaning,
  type Spent,
} from "./common/online_cleaning.ts";
import {
  assertReadable,
  logged,
  type Run,
  recordedSteps,
  recordFlags,
  withoutRecording,
} from "./common/recorded.ts";
import { WeightedLogistic } from "./common/weighted_logistic.ts";

const NAME = "online-cleaning";
const TEST_GLYPHS = 2000;
const REG = 0.001;

const methodNames = Object.keys(methods) as readonly Method[];

/** What float32 resolves, and more than no accuracy at all. */
const tolerances = listOf(float({ min: 1e-5, max: 0.9, metavar: "X" }));

const options = await parseArguments(
  NAME,
  object({
    methods: withDefault(
      option("--methods", listOf(choice(methodNames)), {
        description: message`a row for each of these at each ε and δ: conjugate gradients, gradient descent, heavy ball`,
      }),
      methodNames,
    ),
    epsilon: withDefault(
      option("--epsilon", tolerances, {
        description: message`the inner problem is solved until w is shown to be so near the minimiser, with commas between; the paper: 0.1,0.01`,
      }),
      [0.1],
    ),
    delta: withDefault(
      option("--delta", tolerances, {
        description: message`the linear system is solved to a residual of so much of its right-hand side ∇E; the paper: residuals of 0.1,0.01, where ∇E is about 0.3 long`,
      }),
      [0.3],
    ),
    inner: withDefault(
      option("--inner", choice(["gd", "hb"]), {
        description: message`the inner problem is solved by gradient descent or by heavy ball`,
      }),
      "hb" as const,
    ),
    work: withDefault(
      option("--work", positiveInteger("N"), {
        description: message`gradients and Hessian products that each row may spend; the paper: 100000`,
      }),
      1500,
    ),
    outerLr: withDefault(
      option("--outer-lr", nonNegativeNumber("LR"), {
        description: message`learning rate of the weights; the paper: 10, with 20000 examples`,
      }),
      1000,
    ),
    ...sizeFlags({ train: 1000, val: 1000, glyphTest: TEST_GLYPHS }),
    noise: withDefault(
      option("--noise", float({ min: 0, max: 0.9, metavar: "P" }), {
        description: message`each training label is wrong with this probability`,
      }),
      0.1,
    ),
    ...dataFlags(),
    ...seedFlag(),
    ...outFlag(message`folder for the logs and checkpoints, one of each for each row`),
    ...recordFlags(`${NAME}-ROW`),
    ...figureFlag(message`draw the validation loss against the work, as SVG`),
    ...jsonFlag(),
  }),
  {
    description:
      "Cleans the labels of a logistic regression with hypergradients from inexact solves, and compares how far three methods come with the same work. The paper: MNIST, --train 20000 --val 5000.",
    check: (flags) =>
      checkData(flags) ??
      (flags.work < LEAST_WORK
        ? `--work ${flags.work} is too little for an outer step: give at least ${LEAST_WORK}`
        : undefined) ??
      ((flags.checkpoint ?? flags.log) !== undefined && rowsOf(flags).length > 1
        ? "--checkpoint and --log name the file of one row: give one method, ε and δ, or --out DIR for the files of all"
        : undefined),
  },
);

interface Row {
  readonly method: Method;
  readonly epsilon: number;
  readonly delta: number;
}

function rowsOf(flags: {
  methods: readonly Method[];
  epsilon: readonly number[];
  delta: readonly number[];
}): Row[] {
  return flags.epsilon.flatMap((epsilon) =>
    flags.delta.flatMap((delta) => flags.methods.map((method) => ({ method, epsilon, delta }))),
  );
}

if (import.meta.main) await experiment();

interface Point extends Row {
  readonly outerSteps: number;
  readonly work: number;
  readonly spent: Spent;
  /** E(w) in the last outer step. */
  readonly validationLoss: number;
  readonly testAccuracy: number;
  /** Of telling wrong labels from right ones by the best threshold of λ. */
  readonly bestF1: number;
  /** Of the last hypergradient whose solves were not cut short; absent where no step was done here. */
  readonly error?: number | undefined;
  readonly bound: ImplicitBound;
  readonly hypergradientNorm: number;
  /** Work and validation loss after each outer step. */
  readonly curve: readonly (readonly [number, number])[];
}

async function experiment(): Promise<void> {
  await assertReadable(options);
  const { train, val, test } = await loadExamples({ ...options, glyphTest: TEST_GLYPHS });
  // A label is redrawn from all classes, its own among them.
  const redrawn = (options.noise * train.classes) / (train.classes - 1);
  const random = new Random(options.seed).fork("noise");
  const { labels, corrupted } = corruptLabels(train.labels, train.classes, Math.min(redrawn, 1), random);
  const {
    data: _,
    set: _set,
    methods: _methods,
    epsilon: _epsilon,
    delta: _delta,
    ...flags
  } = withoutRecording(options);
  const wrong = corrupted.reduce((sum, one) => sum + one, 0);
  const about = { ...flags, data: train.name, test: test.labels.length, wrong };

  const gpu = await Gpu.open();
  const logistic = await WeightedLogistic.prepare(gpu, { train, labels, val, reg: REG });
  const points: Point[] = [];
  for (const row of rowsOf(options)) {
    const cleaning = new OnlineCleaning(logistic, { ...options, ...row });
    // More work may be given to a run that is resumed.
    const { json: _json, figure: _figure, work: _work, out, ...rest } = about;
    const name = [NAME, ...Object.values(row)].join("-");
    const { steps, interrupted } = await run(gpu, cleaning, { name, out, settings: { ...rest, ...row } });
    const last = steps.at(-1)!;
    const { bound, hypergradientNorm } = steps.findLast(({ complete }) => complete) ?? last;
    const parameters = logistic.unpack(cleaning.w);
    const [testAccuracy] = await accuracy(gpu, logistic.model, test, { parameters });
    points.push({
      ...row,
      ...{ outerSteps: steps.length, work: last.work, spent: last.spent, validationLoss: last.outerLoss },
      testAccuracy: testAccuracy!,
      bestF1: bestThreshold(cleaning.lambda, corrupted).f1,
      ...{ error: await cleaning.error(), bound, hypergradientNorm },
      curve: steps.map(({ work, outerLoss }) => [work, outerLoss]),
    });
    if (interrupted) break;
  }
  logistic.destroy();
  await deliver(gpu, about, points, { drawn, printTables });
  gpu.close();
}

/** All steps of a row, those before a break too. */
async function run(
  gpu: Gpu,
  cleaning: OnlineCleaning,
  about: Run,
): Promise<{ steps: CleaningNews[]; interrupted: boolean }> {
  const begin = (resume: Checkpoint | undefined) => cleaning.steps(resume);
  const endless = { gpu, steps: Number.POSITIVE_INFINITY };
  let interrupted = false;
  for await (const { signal } of recordedSteps(begin, endless, options, about, async ({ news }) => news))
    interrupted = signal !== undefined;
  const lines: readonly object[] = await logged(options, about);
  return { steps: lines.filter(isStep), interrupted };
}

/** Is a line of the log that of an outer step? */
function isStep(line: object): line is CleaningNews {
  return "step" in line;
}

function printTables(points: readonly Point[]): void {
  const headings = [
    ...["method", "ε", "δ", "validation loss", "test accuracy, %", "F1, best threshold", "outer steps"],
    ...["work", "inner gradients", "products", "error of h", "bound of it"],
  ];
  const body = points.map(({ method, epsilon, delta, spent, bound, hypergradientNorm, ...point }) => [
    methods[method],
    String(epsilon),
    String(delta),
    point.validationLoss.toFixed(4),
    (100 * point.testAccuracy).toFixed(2),
    point.bestF1.toFixed(3),
    String(point.outerSteps),
    String(point.work),
    String(spent.innerGradients),
    String(spent.hessianProducts + spent.mixedProducts),
    point.error === undefined ? "–" : point.error.toExponential(1),
    (bound.bound / hypergradientNorm).toExponential(1),
  ]);
  print(table(headings, body));
  print("");
  const first = points.map(({ curve }) => curve[0]![1].toFixed(4));
  print(`validation loss with equal weights: ${[...new Set(first)].join(", ")}`);
  print(`work: gradients and products; each row may spend ${options.work}`);
  print("error of h: of the last hypergradient, relative to one by tolerances 10 and 100 times smaller");
  print("bound of it: from what is known of the losses at any w, relative to h");
}

function drawn(points: readonly Point[]): Figure {
  const several = rowsOf(options).length > options.methods.length;
  const curves = points.map(({ method, epsilon, delta, curve }) => ({
    name: several ? `${methods[method]}, ε ${epsilon}, δ ${delta}` : methods[method],
    points: curve,
  }));
  return { panels: [{ x: { title: "work" }, y: { title: "validation loss" }, curves }] };
}
