import type { InnerOptimizer } from "../../src/bilevel/inner_optimizer.ts";
import { type BilevelSpec, bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import { exp, sigmoid, tanh } from "../../src/graph/operations/elementwise.ts";
import { add, scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { dense, matmul } from "../../src/graph/operations/matmul.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { type Values, values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";

type Spec = BilevelSpec<string, string, string, string>;
type Losses = Pick<Spec, "parameters" | "hyper"> & {
  inner: Pick<Spec["inner"], "loss" | "data">;
  outer: Spec["outer"];
};

/** How the inner loop of a problem runs, and which of its numbers are hyperparameters too. */
export interface Setting {
  readonly steps?: number;
  /** One value, or one for each step. */
  readonly lr?: number | readonly number[];
  readonly momentum?: number | readonly number[];
  /** η and μ belong to α, as the groups "eta" and "mu". Lists always do. */
  readonly learnRates?: boolean;
  /** Instead of SGD with `lr` and `momentum`. */
  readonly optimizer?: InnerOptimizer<string>;
  /** w_0 belongs to α, as the group "start". */
  readonly learnStart?: boolean;
  /** Examples a mini-batch, in both losses. */
  readonly batch?: number;
  readonly outerBatch?: number;
  readonly lanes?: number;
  readonly seed?: number;
}

export interface Kind {
  readonly name: string;
  readonly losses: () => Losses;
}

export function normal(random: Random, shape: readonly number[], spread = 1): Values {
  const count = shape.reduce((product, n) => product * n, 1);
  return values(
    Float32Array.from({ length: count }, () => spread * random.normal()),
    shape,
  );
}

function integers(random: Random, count: number, below: number): Values {
  return values(Int32Array.from({ length: count }, () => random.integer(below)));
}

export function problem({ losses }: Kind, setting: Setting = {}): Problem<string, string> {
  const { steps = 5, lr = 0.1, momentum = 0, learnRates = false, learnStart = false, lanes, seed } = setting;
  const { parameters, hyper, inner, outer } = losses();
  const groups: Record<string, Values> = { ...hyper };
  const rate = (name: string, given: number | readonly number[]) => {
    if (typeof given === "number" && !learnRates) return given;
    groups[name] = values([given].flat());
    return name;
  };
  const optimizer = setting.optimizer ?? sgd<string>({ lr: rate("eta", lr), momentum: rate("mu", momentum) });
  if (learnStart) groups.start = values(Object.values(parameters).flatMap(({ data }) => [...data]));
  return bilevel({
    parameters,
    hyper: groups,
    inner: { ...inner, steps, optimizer, batch: setting.batch },
    outer: { ...outer, batch: setting.outerBatch },
    start: learnStart ? "start" : undefined,
    lanes,
    seed,
  });
}

/** Sizes and matrices of the quadratic problem: w in R⁴, α in R³. */
export const quadraticData = {
  a: [
    [1.2, 0.3, 0, -0.2],
    [0.3, 0.9, 0.1, 0],
    [0, 0.1, 1.5, 0.4],
    [-0.2, 0, 0.4, 0.7],
  ],
  b: [
    [1, -0.5, 0.25],
    [0, 1, 0.5],
    [-1, 0.75, 0],
    [0.5, 0, 1.25],
  ],
  target: [0.5, -1, 0.25, 2],
  penalty: 0.1,
  start: [1, -0.5, 0.75, 0.25],
  alpha: [0.3, -0.7, 1.1],
} as const;

/** L = ½ wᵀAw - wᵀBα and E = ½‖w - c‖² + ½ρ‖α‖². */
export const quadratic: Kind = {
  name: "quadratic",
  losses() {
    const { a, b, target, penalty, start, alpha } = quadraticData;
    return {
      parameters: { w: values([...start], [4, 1]) },
      hyper: { alpha: values([...alpha], [3, 1]) },
      inner: {
        data: { a: values(a.flat(), [4, 4]), b: values(b.flat(), [4, 3]) },
        loss: ({ w }, { alpha }, { a, b }) =>
          sub(scale(0.5, sum(mul(w!, matmul(a!, w!)))), sum(mul(w!, matmul(b!, alpha!)))),
      },
      outer: {
        data: { target: values([...target], [4, 1]) },
        loss: ({ w }, { alpha }, { target }) =>
          add(scale(0.5, squaredNorm(sub(w!, target!))), scale(penalty / 2, squaredNorm(alpha!))),
      },
    };
  },
};

const SIZES = { examples: 12, inputs: 5, classes: 3 } as const;

/** Linear hyper-cleaning: a weight σ(λ_i) on each training example, as in Shaban et al. 2019, §4.2.1. */
export const hypercleaning: Kind = {
  name: "linear hyper-cleaning",
  losses: () => cleaning({ widths: [SIZES.inputs, SIZES.classes] }),
};

/** The same with a hidden layer, tanh, and a learned strength of the penalty. */
export const network: Kind = {
  name: "tanh network",
  losses: () => cleaning({ widths: [SIZES.inputs, 4, SIZES.classes], learnPenalty: true }),
};

function cleaning({
  widths,
  learnPenalty = false,
}: {
  widths: readonly number[];
  learnPenalty?: boolean;
}): Losses {
  const random = new Random(7);
  const { examples, inputs, classes } = SIZES;
  const parameters: Record<string, Values> = {};
  const layers = widths.slice(1).map((outputs, index) => {
    parameters[`weight${index}`] = normal(random, [outputs, widths[index]!], 0.5);
    parameters[`bias${index}`] = normal(random, [outputs], 0.1);
    return index;
  });
  const data = () => ({
    x: normal(random, [examples, inputs]),
    y: integers(random, examples, classes),
    id: values(Int32Array.from({ length: examples }, (_, i) => i)),
  });
  type Loss = Spec["inner"]["loss"];
  const errors = (w: Parameters<Loss>[0], { x, y }: Parameters<Loss>[2]) => {
    const logits = layers.reduce((hidden, index) => {
      const out = dense(hidden, w[`weight${index}`]!, w[`bias${index}`]!);
      return index < layers.length - 1 ? tanh(out) : out;
    }, x!);
    return crossEntropy(logits, y!);
  };
  const penalty = learnPenalty ? { penalty: values([-3], []) } : undefined;
  return {
    parameters,
    hyper: { weight: normal(random, [examples], 0.8), ...penalty },
    inner: {
      data: data(),
      loss: (w, { weight, penalty }, d, { rows }) => {
        const strength = penalty ? exp(penalty) : 0.01;
        return add(mean(mul(sigmoid(rows(weight!)), errors(w, d))), mul(strength, squaredNorm(w)));
      },
    },
    outer: { data: data(), loss: (w, _a, d) => mean(errors(w, d)) },
  };
}

/** Rows for a table of tests, with a title first. */
export function named(
  cases: readonly (readonly [Kind, string, Setting])[],
): [title: string, kind: Kind, setting: Setting][] {
  return cases.map(([kind, name, setting]) => [`${kind.name}, ${name}`, kind, setting]);
}
