/** Flags that several scripts share. Each function gives a group of flags, with the script's own defaults. */
import { message, text } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { choice, nonNegativeNumber, positiveInteger, probability, seed } from "../../src/host/arguments.ts";
import {
  adam,
  type Estimator,
  firstOrder,
  gradientDescent,
  greedy,
  krmd,
  type OuterOptimizer,
  rmd,
  t1t2,
} from "../../src/index.ts";

const names = ["rmd", "krmd", "t1t2", "greedy", "first-order"] as const;
export type EstimatorName = (typeof names)[number];

const DEFAULT_K = 5;
const DEFAULT_GAMMA = 0.9;

/** `--estimator`, `--k`, `--gamma` */
export const estimatorFlags = (estimator: EstimatorName) => ({
  estimator: withDefault(
    option("--estimator", choice(names), {
      description: message`how the hypergradient is computed or estimated`,
    }),
    estimator,
  ),
  k: optional(
    option("--k", positiveInteger("K"), {
      description: message`with krmd: go back through the last K inner steps, at most all of them [${text(String(DEFAULT_K))}, or all if fewer]`,
    }),
  ),
  gamma: optional(
    option("--gamma", probability("GAMMA"), {
      description: message`with greedy: the weight of a term falls by this factor from each inner step to the one before, from 0 to 1 [${text(String(DEFAULT_GAMMA))}]`,
    }),
  ),
});

interface EstimatorChoice {
  readonly estimator: EstimatorName;
  readonly k?: number | undefined;
  readonly gamma?: number | undefined;
  readonly innerSteps: number;
}

/** What is wrong with a choice of estimator, if anything. */
export function checkEstimator({ estimator, k, gamma, innerSteps }: EstimatorChoice): string | undefined {
  if (k !== undefined && estimator !== "krmd") return `--k belongs to --estimator krmd, not to ${estimator}`;
  if (gamma !== undefined && estimator !== "greedy") {
    return `--gamma belongs to --estimator greedy, not to ${estimator}`;
  }
  if (k !== undefined && k > innerSteps) {
    return `--k ${k} is more than there are inner steps: give at most ${innerSteps}, or raise --inner-steps`;
  }
  return undefined;
}

/** The estimator chosen, and its name with its parameters: "krmd(5)". */
export function estimatorOf({ estimator, innerSteps, ...given }: EstimatorChoice): {
  estimator: Estimator;
  label: string;
} {
  const { k = Math.min(DEFAULT_K, innerSteps), gamma = DEFAULT_GAMMA } = given;
  switch (estimator) {
    case "rmd":
      return { estimator: rmd(), label: estimator };
    case "krmd":
      return { estimator: krmd({ k }), label: `krmd(${k})` };
    case "t1t2":
      return { estimator: t1t2(), label: estimator };
    case "greedy":
      return { estimator: greedy({ gamma }), label: `greedy(${gamma})` };
    case "first-order":
      return { estimator: firstOrder(), label: estimator };
  }
}

/** `--inner-steps`, `--inner-lr` */
export const innerFlags = (defaults: { steps: number; lr: number }) => ({
  innerSteps: withDefault(
    option("--inner-steps", positiveInteger("T"), { description: message`steps of the inner loop` }),
    defaults.steps,
  ),
  innerLr: withDefault(
    option("--inner-lr", nonNegativeNumber("ETA"), { description: message`its learning rate` }),
    defaults.lr,
  ),
});

/** `--momentum` */
export const momentumFlag = (momentum: number) => ({
  momentum: withDefault(
    option("--momentum", probability("MU"), { description: message`of the inner loop, from 0 to 1` }),
    momentum,
  ),
});

/** `--outer-steps` */
export const outerStepsFlag = (steps: number) => ({
  outerSteps: withDefault(
    option("--outer-steps", positiveInteger("N"), { description: message`steps of the hyperparameters` }),
    steps,
  ),
});

const rules = ["sgd", "adam"] as const;
type Rule = (typeof rules)[number];

/** `--outer sgd|adam`, `--outer-lr` */
export const outerFlags = (defaults: { outer: Rule; lr: number }) => ({
  outer: withDefault(outerFlag(rules), defaults.outer),
  outerLr: withDefault(
    option("--outer-lr", nonNegativeNumber("LR"), { description: message`their learning rate` }),
    defaults.lr,
  ),
});

/** `--outer` alone, of these rules */
export const outerFlag = <const T extends string>(rules: readonly T[]) =>
  option("--outer", choice(rules), { description: message`how the hyperparameters move` });

export function outerOptimizerOf({ outer, outerLr: lr }: { outer: Rule; outerLr: number }): OuterOptimizer {
  return outer === "adam" ? adam({ lr }) : gradientDescent({ lr });
}

/** `--train`, `--val`, `--test` */
export const sizeFlags = (defaults: { train: number; val: number; glyphTest: number }) => ({
  train: withDefault(
    option("--train", positiveInteger("N"), { description: message`training examples` }),
    defaults.train,
  ),
  val: withDefault(
    option("--val", positiveInteger("N"), { description: message`validation examples` }),
    defaults.val,
  ),
  test: optional(
    option("--test", positiveInteger("N"), {
      description: message`test examples [${text(String(defaults.glyphTest))} glyphs; with --data, the whole test file]`,
    }),
  ),
});

const sets = ["mnist", "fashion-mnist"] as const;

/** `--data`, `--set` */
export const dataFlags = () => ({
  data: optional(
    option("--data", string({ metavar: "DIR" }), {
      description: message`folder of IDX files, plain or .gz, or the folder above it; without it, built-in glyphs`,
    }),
  ),
  set: optional(
    option("--set", choice(sets), { description: message`with --data: which set is in it [mnist]` }),
  ),
});

/** What is wrong with a choice of data, if anything. */
export function checkData({ data, set }: { data?: string | undefined; set?: string | undefined }) {
  return set !== undefined && data === undefined ? `--set ${set} needs --data DIR` : undefined;
}

/** `--noise` */
export const noiseFlag = (noise: number) => ({
  noise: withDefault(
    option("--noise", probability("P"), {
      description: message`each training label is replaced with this probability by a random class, from 0 to 1`,
    }),
    noise,
  ),
});

/** `--seed` */
export const seedFlag = () => ({
  seed: withDefault(
    option("--seed", seed(), { description: message`of everything random: the same seed, the same run` }),
    0,
  ),
});

/** `--json` */
export const jsonFlag = () => ({
  json: option("--json", { description: message`print one line of JSON instead of tables` }),
});
