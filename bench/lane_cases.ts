import type { Estimator } from "../src/bilevel/estimator.ts";
import type { TaskData } from "../src/bilevel/outer_loop.ts";
import { bilevel, type Problem } from "../src/bilevel/problem.ts";
import { sgd } from "../src/bilevel/sgd.ts";
import { glyphs } from "../src/data/glyphs.ts";
import { type Task, TaskSampler } from "../src/data/tasks.ts";
import { greedy } from "../src/estimators/greedy.ts";
import { rmd } from "../src/estimators/krmd.ts";
import { crossEntropy } from "../src/graph/operations/cross_entropy.ts";
import { exp } from "../src/graph/operations/elementwise.ts";
import { add } from "../src/graph/operations/linear_combination.ts";
import { mean } from "../src/graph/operations/mean.ts";
import { mul } from "../src/graph/operations/multiply.ts";
import { squaredNorm } from "../src/graph/operations/squared_norm.ts";
import { size } from "../src/graph/shape.ts";
import { perLane, scalar, values, zeros } from "../src/graph/values.ts";
import { linear } from "../src/nn/models.ts";
import { Random } from "../src/random.ts";
import { innerLoss } from "./cleaning.ts";

/** A problem that may stand in any number of lanes. */
export interface LaneCase {
  readonly name: string;
  readonly estimator: Estimator;
  problem(lanes: number): Problem<string, string>;
  /** New data for an outer step. */
  data?(lanes: number, step: number): TaskData;
}

/** Logistic ridge of one strength e^λ: settings of λ side by side. */
const ridge: LaneCase = {
  name: "logistic ridge, 64 examples of 16 features, T = 20, a λ for each lane",
  estimator: rmd(),
  problem(lanes) {
    const random = new Random(4);
    const examples = (count: number) => ({
      x: values(
        Float32Array.from({ length: count * 16 }, () => random.normal()),
        [count, 16],
      ),
      y: values(Int32Array.from({ length: count }, () => random.integer(2))),
    });
    const model = linear(16, 2);
    const grid = Float32Array.from({ length: lanes }, (_, lane) => -8 + (8 * lane) / lanes);
    return bilevel<string, string, "x" | "y", "x" | "y">({
      parameters: model.parameters,
      hyper: { lambda: perLane(values(grid)) },
      lanes,
      inner: {
        data: examples(64),
        loss: (w, { lambda }, { x, y }) =>
          add(mean(crossEntropy(model.apply(w, x), y)), mul(exp(lambda!), squaredNorm(w))),
        steps: 20,
        optimizer: sgd({ lr: 0.1, momentum: 0.9 }),
      },
      outer: { data: examples(64), loss: (w, _, { x, y }) => mean(crossEntropy(model.apply(w, x), y)) },
    });
  },
};

const characters = glyphs({ count: 1000, classes: 50, seed: 1 });
const pixels = characters.rows * characters.columns;

/** Tasks as the losses take them, with flat images. */
function flat({ train, query }: Task) {
  const rows = ({ x, y }: Task["train"]) => ({
    images: perLane({ ...x, shape: [...y.shape, pixels] }),
    labels: y,
  });
  return { inner: rows(train), outer: rows(query) };
}

const fewShotSampler = new TaskSampler(characters, { ways: 5, shots: 1, queries: 10 });
const fewShotTasks = (lanes: number, step: number) =>
  flat(fewShotSampler.batch(lanes, new Random(2).fork(step)));

/** A start and a rate learned for few-shot tasks. */
const fewShot: LaneCase = {
  name: `5-way one-shot, linear ${pixels}-5, T = 5, shared start and rate`,
  estimator: rmd(),
  problem(lanes) {
    const model = linear(pixels, 5);
    const count = Object.values(model.parameters).reduce((sum, { shape }) => sum + size(shape), 0);
    const { inner, outer } = fewShotTasks(lanes, 0);
    return bilevel<string, "start" | "rate", "images" | "labels", "images" | "labels">({
      parameters: model.parameters,
      hyper: { start: zeros([count]), rate: scalar(0.1) },
      start: "start",
      lanes,
      inner: {
        data: inner,
        loss: (w, _, { images, labels }) => mean(crossEntropy(model.apply(w, images), labels)),
        steps: 5,
        optimizer: sgd({ lr: "rate", momentum: 0.9 }),
      },
      outer: {
        data: outer,
        loss: (w, _, { images, labels }) => mean(crossEntropy(model.apply(w, images), labels)),
      },
    });
  },
  data: fewShotTasks,
};

/** Weights of the examples, each lane's own for its own examples: seeds side by side. */
const cleaningSeeds: LaneCase = {
  name: `hyper-cleaning, 100 examples, linear ${pixels}-10, T = 10, an α for each lane`,
  estimator: greedy({ gamma: 0.9 }),
  problem(lanes) {
    const model = linear(pixels, 10);
    const sampler = new TaskSampler(characters, { ways: 10, shots: 10, queries: 10 });
    const { inner, outer } = flat(sampler.batch(lanes, new Random(3)));
    return bilevel<string, "weight", "images" | "labels", "images" | "labels">({
      parameters: model.parameters,
      hyper: { weight: perLane(zeros([lanes, 100])) },
      lanes,
      inner: {
        data: inner,
        loss: innerLoss(model),
        steps: 10,
        optimizer: sgd({ lr: 0.1, momentum: 0.9 }),
      },
      outer: {
        data: outer,
        loss: (w, _, { images, labels }) => mean(crossEntropy(model.apply(w, images), labels)),
      },
    });
  },
};

export const laneCases: readonly LaneCase[] = [ridge, fewShot, cleaningSeeds];
