// Few-shot classification with warp layers (generalized greedy gradient-based hyperparameter optimization, §5.4, Table 3):
// of a network of convolutions, some layers are hyperparameters that all tasks share, and learned so that a few steps of
// the others, from the same first values, lead to a classifier of new characters. One estimator after the other learns
// them; held-out characters say how well.
//
// The paper's sizes: --data DIR --size 28 --strides 1,1,1,1,1,1 --pools 2,1,2,1,2,1 --initial lecun --warp 2,4,6
//   --channels 32 --queries 10 --outer-lr 1e-3 --outer-steps 2000 --seeds 5 --tasks 1 --held-out-tasks 400
//   --score-every 500 --estimators first-order,t1t2,neumann:2,greedy:0.9, and --ways 2, 3, 5, 10.
// Pools, first weights and one task an outer step are those of the authors' program
// (https://github.com/Konstantin-Iakovlev/HyperOpt, meta_learning), as are batch normalization and relu after each layer and
// a w_0 that is random and stays. A stride of 2 in each second layer in place of pools is cheaper. Without
// normalization greedy and T1–T2 learn less than the first-order term alone.

import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import {
  bilevel,
  correct,
  crossEntropy,
  Gpu,
  mean,
  parseArguments,
  print,
  sgd,
  splitLayers,
  type Tensor,
} from "../src/index.ts";
import {
  characterTasks,
  checkFewShot,
  fewShotFlags,
  loadCharacters,
  networkNote,
  networkOf,
  numbersOf,
  tasksNote,
} from "./common/few_shot.ts";
import { outerOptimizerOf } from "./common/flags.ts";
import {
  askedOf,
  checkMeta,
  intervalNote,
  type MetaProblem,
  metaFlags,
  metaLearned,
  printResults,
  resultTable,
  rowsOf,
} from "./common/meta_learning.ts";

const NAME = "few-shot";

const options = await parseArguments(
  NAME,
  object({
    ...metaFlags(NAME, {
      estimators: "first-order,greedy:0.9",
      tasks: 4,
      innerSteps: 5,
      innerLr: 0.1,
      momentum: 0.9,
      outerSteps: 100,
      outerLr: 5e-3,
      scoreEvery: 25,
      heldOutTasks: 32,
    }),
    ...fewShotFlags({ ways: 5, queries: 5, strides: "2,1,2,1", channels: 8, size: 14, norm: "batch" }),
    warp: withDefault(
      option("--warp", string({ metavar: "LIST" }), {
        description: message`the layers, counted from 1, that are hyperparameters; tasks train the others`,
      }),
      "2,4",
    ),
  }),
  {
    description:
      "Learns some layers of a convolutional network so that a few steps of the other layers classify new characters from one drawing of each.",
    check: (flags) => checkMeta(flags) ?? checkFewShot(flags) ?? checkWarp(flags),
  },
);
const dataset = await loadCharacters(options);

export const { problem } = warped(options.seed);
if (import.meta.main) await experiment();

function checkWarp({ warp, strides }: { warp: string; strides: string }): string | undefined {
  const layers = strides.split(",").length;
  const chosen = numbersOf(warp);
  return chosen === undefined || chosen.some((layer) => layer > layers)
    ? `--warp ${warp}: give layers from 1 to ${layers} with commas between`
    : undefined;
}

function warped(seed: number): MetaProblem {
  const model = networkOf(dataset, options, seed);
  const { chosen: warp, others: trained } = splitLayers(model.parameters, numbersOf(options.warp)!);
  const tasks = characterTasks(dataset, options, seed);
  const { inner, outer } = tasks.training(1);
  type Layers = Readonly<Record<string, Tensor>>;
  const logits = (w: Layers, layers: Layers, x: Tensor) => model.apply({ ...w, ...layers }, x);
  const error = (w: Layers, layers: Layers, { x, y }: Layers) =>
    mean(crossEntropy(logits(w, layers, x!), y!));
  const judgedBy = (score: typeof error) =>
    bilevel({
      lanes: options.tasks,
      parameters: trained,
      hyper: warp,
      inner: {
        data: inner!,
        loss: error,
        steps: options.innerSteps,
        optimizer: sgd({ lr: options.innerLr, momentum: options.momentum }),
      },
      outer: { data: outer!, loss: score },
    });
  return {
    problem: judgedBy(error),
    scored: judgedBy((w, layers, { x, y }) => mean(correct(logits(w, layers, x!), y!))),
    tasks,
  };
}

async function experiment(): Promise<void> {
  const rows = rowsOf(options, warped);
  const gpu = await Gpu.open();
  const asked = { data: dataset.name, ...askedOf(options) };
  const run = { name: NAME, settings: asked, optimizer: outerOptimizerOf(options) };
  const results = await metaLearned(gpu, rows, options, run);
  const adapter = gpu.choice.description;
  if (options.json) printResults(asked, adapter, results);
  else {
    const { warp, tasks, innerSteps, innerLr, momentum } = options;
    const lines = [
      resultTable(results, { name: "accuracy, %", digits: 2, factor: 100 }),
      "",
      tasksNote(dataset, options),
      networkNote(options),
      `layers ${warp} are hyperparameters; T = ${innerSteps}, η = ${innerLr}, μ = ${momentum}; ${tasks} tasks an outer step`,
      intervalNote(options),
      `adapter: ${adapter}`,
    ];
    print(lines.join("\n"));
  }
  gpu.close();
}
