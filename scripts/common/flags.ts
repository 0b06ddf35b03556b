/** Flags that several scripts share. Each function gives a group of flags, with the script's own defaults. */
import { type Message, message, text } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string, type ValueParser } from "@optique/core/valueparser";
import {
  type Chosen,
  type EstimatorName,
  estimatorNamed,
  estimatorNames,
  type Given,
  type ParameterName,
  type ParameterValue,
  parameters,
  parametersOf,
  shortest,
} from "../../src/estimators/named.ts";
import {
  choice,
  nonNegativeNumber,
  path,
  positiveInteger,
  probability,
  seed,
  svgPath,
} from "../../src/host/arguments.ts";
import {
  adam,
  fanInUniform,
  gradientDescent,
  heNormal,
  lecunNormal,
  type OuterOptimizer,
} from "../../src/index.ts";

const parameterNames = Object.keys(parameters) as readonly ParameterName[];
const numbers = { count: positiveInteger, share: probability, number: nonNegativeNumber };

/** `--estimator`, and a flag for each parameter that an estimator has: `--k`, `--gamma`, … */
export const estimatorFlags = (estimator: EstimatorName) => ({
  estimator: withDefault(
    option("--estimator", choice(estimatorNames), {
      description: message`how the hypergradient is computed or estimated`,
    }),
    estimator,
  ),
  ...(Object.fromEntries(parameterNames.map((name) => [name, parameterFlag(name)])) as {
    [P in ParameterName]: ReturnType<typeof parameterFlag<P>>;
  }),
});

function parameterFlag<P extends ParameterName>(name: P) {
  const { metavar, about, kind, words = [], ofSteps } = parameters[name];
  const users = takersOf(name);
  const normal = users.flatMap((user) => new Map(parametersOf(user)).get(name) ?? []);
  const defaults =
    new Set(normal).size === 1
      ? [shortest(normal[0]!)]
      : normal.map((value, index) => `${users[index]} ${shortest(value)}`);
  const fewer = ofSteps && defaults.length > 0 ? ", or all if fewer" : "";
  const normally = defaults.length > 0 ? ` [${defaults.join(", ")}${fewer}]` : "";
  const parser = kind === "word" ? choice(words) : orWord(words, numbers[kind](metavar));
  return optional(
    option(`--${name}`, parser as ValueParser<"sync", ParameterValue<P>>, {
      description: message`with ${text(users.join(", "))}: ${text(`${about}${normally}`)}`,
    }),
  );
}

/** A number, or one of these words. */
export function orWord<const W extends string>(
  words: readonly W[],
  number: ValueParser<"sync", number>,
): ValueParser<"sync", number | W> {
  return {
    ...number,
    parse(input) {
      const word = words.find((word) => word === input);
      return word === undefined ? number.parse(input) : { success: true, value: word };
    },
    format: (value) => (typeof value === "number" ? number.format(value) : value),
  };
}

/** The estimators that have this parameter. */
function takersOf(parameter: ParameterName): EstimatorName[] {
  return estimatorNames.filter((name) => parametersOf(name).some(([own]) => own === parameter));
}

/** `--estimators` */
export const estimatorsFlag = (about: Message) => ({
  estimators: optional(
    option("--estimators", string({ metavar: "LIST" }), {
      description: message`${about}: names with commas between, values of their parameters after a colon`,
    }),
  ),
});

type EstimatorChoice = Given & { readonly estimator: EstimatorName; readonly innerSteps: number };

/** What is wrong with a choice of estimator, if anything. */
export function checkEstimator(options: EstimatorChoice): string | undefined {
  const { estimator, innerSteps } = options;
  for (const name of parameterNames) {
    const value = options[name];
    if (value === undefined) continue;
    const users = takersOf(name);
    if (!users.includes(estimator)) {
      return `--${name} belongs to --estimator ${users.join(" or ")}, not to ${estimator}`;
    }
    if (parameters[name].ofSteps && Number(value) > innerSteps) {
      return `--${name} ${value} is more than there are inner steps: give at most ${innerSteps}, or raise --inner-steps`;
    }
  }
  return undefined;
}

/** The estimator chosen, and its name with its parameters: "krmd(5)". */
export function estimatorOf(options: EstimatorChoice): Chosen {
  return estimatorNamed(options.estimator, options, options.innerSteps);
}

/** Without the parameters of estimators, which the label says. */
export function withoutParameters<T extends object>(options: T): Omit<T, ParameterName> {
  const names: readonly string[] = parameterNames;
  return Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name))) as Omit<
    T,
    ParameterName
  >;
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
    option("--data", path("DIR"), {
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

/** `--out` */
export const outFlag = (about: Message) => ({
  out: withDefault(option("--out", path("DIR"), { description: about }), "out"),
});

/** `--figure` */
export const figureFlag = (about: Message) => ({
  figure: optional(option("--figure", svgPath(), { description: about })),
});

/** `--json` */
export const jsonFlag = () => ({
  json: option("--json", { description: message`print one line of JSON instead of tables` }),
});

/** Distributions of a network's first weights. */
export const firstWeights = { he: heNormal, lecun: lecunNormal, uniform: fanInUniform };

export const initialFlag = () => ({
  initial: withDefault(
    option("--initial", choice(Object.keys(firstWeights) as (keyof typeof firstWeights)[]), {
      description: message`first weights: normal with variance 2 / inputs or, lecun, 1 / inputs; or uniform within ±1 / √inputs, as PyTorch's layers have them`,
    }),
    "he" as const,
  ),
});
