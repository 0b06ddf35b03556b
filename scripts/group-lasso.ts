// The structure of a group lasso (Frecon et al. 2018): which features belong together is learned from the validation
// loss of sparse regressions that share it, and compared with the grouping that the data were made from.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { float } from "@optique/core/valueparser";
import { nonNegativeNumber, positiveInteger } from "../src/host/arguments.ts";
import {
  add,
  bilevel,
  div,
  exp,
  firstOrder,
  Gpu,
  hypergradient,
  matmul,
  parseArguments,
  print,
  Random,
  reshape,
  scale,
  sgd,
  sqrt,
  square,
  squaredNorm,
  sub,
  sum,
  type Tensor,
  table,
  type Values,
  values,
  zeros,
} from "../src/index.ts";
import {
  checkEstimator,
  estimatorFlags,
  estimatorOf,
  innerFlags,
  jsonFlag,
  momentumFlag,
  outerFlags,
  outerOptimizerOf,
  outerStepsFlag,
  seedFlag,
  withoutParameters,
} from "./common/flags.ts";
import { type Learned, learn } from "./common/learn.ts";

/** Under the root of each norm: smooth at 0, and soft for inner steps of the usual size. */
const SMOOTHING = 1e-3;
/** How far from uniform the first θ is; groups are alike but for this. */
const SPREAD = 0.1;
/** θ of a grouping that is known: a softmax of this number and zeros is almost 1 and almost 0. */
const SURE = 8;

const options = await parseArguments(
  "group-lasso",
  object({
    features: withDefault(
      option("--features", positiveInteger("P"), { description: message`features of each regression` }),
      20,
    ),
    groups: withDefault(
      option("--groups", positiveInteger("G"), { description: message`groups that they belong to` }),
      4,
    ),
    regressions: withDefault(
      option("--regressions", positiveInteger("N"), {
        description: message`regressions on the same features; in each one group is active`,
      }),
      60,
    ),
    train: withDefault(
      option("--train", positiveInteger("N"), { description: message`training examples of each` }),
      15,
    ),
    val: withDefault(
      option("--val", positiveInteger("N"), { description: message`validation examples of each` }),
      30,
    ),
    noise: withDefault(
      option("--noise", nonNegativeNumber("SIGMA"), {
        description: message`standard deviation of the noise`,
      }),
      0.3,
    ),
    penalty: withDefault(
      option("--penalty", float({ min: 0, metavar: "LAMBDA" }), {
        description: message`strength of the group lasso; fixed`,
      }),
      0.2,
    ),
    ...estimatorFlags("rmd"),
    ...innerFlags({ steps: 60, lr: 0.1 }),
    ...momentumFlag(0.8),
    ...outerStepsFlag(50),
    ...outerFlags({ outer: "adam", lr: 0.1 }),
    ...seedFlag(),
    ...jsonFlag(),
  }),
  {
    description:
      "Learns which features a group lasso should take together, and scores the groups against those that the data were made from.",
    check: (flags) =>
      checkEstimator(flags) ??
      (flags.groups > flags.features
        ? `--groups ${flags.groups} of ${flags.features} features: give at most one each`
        : undefined),
  },
);
const { features, groups, regressions } = options;
const { train, val, truth } = generate();
const first = normal(new Random(options.seed).fork("theta"), [features, groups], SPREAD);

export const problem = stated(first);

if (import.meta.main) await experiment();

async function experiment(): Promise<void> {
  const { estimator, label } = estimatorOf(options);
  const gpu = await Gpu.open();
  const loss = async (theta: Values) =>
    (await hypergradient(stated(theta), { gpu, estimator: firstOrder() })).outerLoss;
  const learned = await learn(problem, {
    gpu,
    estimator,
    optimizer: outerOptimizerOf(options),
    steps: options.outerSteps,
  });
  const { theta } = learned.hyper;
  const losses = { before: await loss(first), learned: await loss(theta), truth: await loss(known()) };
  const found = { learned, losses, share: softmax(theta), label, adapter: gpu.choice.description };
  if (options.json) printJson(found);
  else printTables(found);
  gpu.close();
}

/** L = Σ over regressions of ‖y - Xw‖² / 2n + λ Σ_g ‖θ_g ∘ w‖, the norms smoothed; θ is a softmax over groups. */
function stated(theta: Values) {
  const misfit = (w: Tensor, { x, y }: { x: Tensor; y: Tensor }, examples: number) =>
    scale(0.5 / examples, squaredNorm(sub(y, matmul(x, w, { transposeB: true }))));
  return bilevel({
    parameters: { w: zeros([regressions, features]) },
    hyper: { theta },
    inner: {
      data: train,
      loss: ({ w }, { theta }, data) => {
        const raised = exp(theta);
        const share = div(raised, reshape(sum(raised, 1), [-1, 1]));
        const norms = sqrt(add(matmul(square(w), square(share)), SMOOTHING));
        return add(misfit(w, data, options.train), scale(options.penalty, sum(norms)));
      },
      steps: options.innerSteps,
      optimizer: sgd({ lr: options.innerLr, momentum: options.momentum }),
    },
    outer: {
      data: val,
      loss: ({ w }, _theta, data) => scale(1 / regressions, misfit(w, data, options.val)),
    },
  });
}

function normal(random: Random, shape: readonly [number, number], spread: number): Values {
  const data = Float32Array.from({ length: shape[0] * shape[1] }, () => spread * random.normal());
  return values(data, shape);
}

/** Regressions on shared normal features; in each, one group at random has weights of about 1, all others 0. */
function generate() {
  const random = new Random(options.seed).fork("group-lasso");
  const truth = Array.from(random.permutation(features), (place) => place % groups);
  const weights = Array.from({ length: regressions }, () => {
    const active = random.integer(groups);
    return truth.map((group) => (group === active ? (random.uniform() < 0.5 ? -1 : 1) : 0));
  });
  const draw = (count: number) => {
    const x = normal(random, [count, features], 1);
    const y = Float32Array.from({ length: count * regressions }, (_, at) => {
      const [row, regression] = [Math.floor(at / regressions), at % regressions];
      const exact = weights[regression]!.reduce<number>(
        (sum, weight, j) => sum + weight * x.data[row * features + j]!,
        0,
      );
      return exact + options.noise * random.normal();
    });
    return { x, y: values(y, [count, regressions]) };
  };
  return { train: draw(options.train), val: draw(options.val), truth };
}

/** θ of the grouping that the data were made from. */
function known(): Values {
  const data = truth.flatMap((own) => Array.from({ length: groups }, (_, g) => (g === own ? SURE : 0)));
  return values(data, [features, groups]);
}

/** How much of each feature belongs to each group; a row a feature. */
function softmax({ data }: Values): number[][] {
  return Array.from({ length: features }, (_, p) => {
    const raised = Array.from(data.subarray(p * groups, (p + 1) * groups), Math.exp);
    const all = raised.reduce((sum, value) => sum + value, 0);
    return raised.map((value) => value / all);
  });
}

function strongest(shares: readonly number[]): number {
  return shares.indexOf(Math.max(...shares));
}

/** Adjusted Rand index of two groupings (Hubert & Arabie 1985): 1 when they are the same, 0 as by chance. */
function adjustedRand(a: readonly number[], b: readonly number[]): number {
  const pairs = (keys: readonly string[]) => {
    const counts = new Map<string, number>();
    for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
    return [...counts.values()].reduce((sum, n) => sum + (n * (n - 1)) / 2, 0);
  };
  const both = pairs(a.map((group, i) => `${group} ${b[i]}`));
  const [inA, inB] = [pairs(a.map(String)), pairs(b.map(String))];
  const chance = (inA * inB) / ((a.length * (a.length - 1)) / 2);
  const most = (inA + inB) / 2;
  return most === chance ? 1 : (both - chance) / (most - chance);
}

interface Found {
  readonly learned: Learned<"theta">;
  /** Validation loss with the first θ, the learned one, and the true grouping. */
  readonly losses: { readonly before: number; readonly learned: number; readonly truth: number };
  readonly share: readonly number[][];
  readonly label: string;
  readonly adapter: string;
}

function printJson({ learned, losses, share, label, adapter }: Found): void {
  const { json: _json, ...settings } = withoutParameters(options);
  const result = {
    ...settings,
    estimator: label,
    adapter,
    outerStepsDone: learned.losses.length,
    losses: learned.losses,
    before: losses.before,
    learned: losses.learned,
    trueGroups: losses.truth,
    adjustedRand: adjustedRand(share.map(strongest), truth),
    grouping: share.map(strongest),
    truth,
    theta: share,
    msPerOuterStep: learned.milliseconds,
  };
  print(JSON.stringify(result));
}

function printTables({ learned, losses, share, label, adapter }: Found): void {
  const order = [...truth.keys()].sort((i, j) => truth[i]! - truth[j]! || i - j);
  const rows = order.map((p) => [
    `feature ${p + 1}`,
    String(truth[p]! + 1),
    ...share[p]!.map((value) => `${"█".repeat(Math.round(5 * value))} ${value.toFixed(2)}`),
  ]);
  const index = adjustedRand(share.map(strongest), truth);
  const lines = [
    table(["θ", "true group", ...Array.from({ length: groups }, (_, g) => `learned ${g + 1}`)], rows),
    "",
    `adjusted Rand index of the learned groups with the true ones: ${index.toFixed(3)} (1: the same, 0: chance)`,
    "",
    table(
      ["", "validation loss"],
      [
        ["first θ, nearly uniform", losses.before.toFixed(4)],
        ["learned θ", losses.learned.toFixed(4)],
        ["true groups", losses.truth.toFixed(4)],
      ],
    ),
    "",
    `${regressions} regressions of ${features} features: ${options.train} training, ${options.val} validation examples`,
    `${label}: ${learned.losses.length} outer steps of ${learned.milliseconds.toFixed(0)} ms (median)`,
    `adapter: ${adapter}`,
  ];
  print(lines.join("\n"));
}
