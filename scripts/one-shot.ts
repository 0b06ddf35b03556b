// One-shot classification with a learned regulariser (Shaban et al. 2019, §4.3, Table 4): each task trains layers of a
// convolutional network for T steps from a centre c, with ρ‖w − c‖² added to its loss. The hyperparameters are c, ρ, the
// learning rate η, and other layers that no task trains. K-RMD with a few K is compared with the full sweep, and with a
// short horizon, whose outer steps see tasks trained for fewer steps.
//
// w = c + d, and the tasks train d from d = 0: it is the same training, and the same exact hypergradient, as from w_0 = c.
// But c stands in the losses alone, so that truncated estimators are defined: K-RMD takes w_{T-K} = c + d with d held
// fixed. (With w_0 = c as a hyperparameter the gradient of a truncated sweep is not defined, and it is refused.)
//
// With the paper's T and K: --data DIR --inner-steps 50 --estimators krmd:1,krmd:10,krmd:25,rmd --short 5, and on a GPU
//   --size 28 --strides 2,2,2,2 --channels 64 --shared 1,2,3 --norm batch --tasks 8 --queries 10 --seeds 5
//   --outer-steps 5000 --outer-lr 1e-3 --held-out-tasks 400 --score-every 250

import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { nonNegativeNumber, positiveInteger } from "../src/host/arguments.ts";
import {
  add,
  bilevel,
  correct,
  crossEntropy,
  exp,
  Gpu,
  mean,
  mul,
  nonNegative,
  parseArguments,
  print,
  rmd,
  scalar,
  sgd,
  splitLayers,
  squaredNorm,
  type Tensor,
  zeros,
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
  type Row,
  resultTable,
  rowsOf,
} from "./common/meta_learning.ts";

const NAME = "one-shot";
const NO_LAYERS = "none";

const options = await parseArguments(
  NAME,
  object({
    ...metaFlags(NAME, {
      estimators: "krmd:1,rmd",
      tasks: 4,
      innerSteps: 20,
      innerLr: 0.1,
      momentum: 0,
      outerSteps: 60,
      outerLr: 3e-3,
      scoreEvery: 20,
      heldOutTasks: 32,
    }),
    ...fewShotFlags({ ways: 5, queries: 5, strides: "2,2,2", channels: 8, size: 20, norm: "none" }),
    shared: withDefault(
      option("--shared", string({ metavar: "LIST" }), {
        description: message`the layers, counted from 1, that are hyperparameters and that no task trains; ${NO_LAYERS} of them, so that tasks train all`,
      }),
      "1,2",
    ),
    strength: withDefault(
      option("--strength", nonNegativeNumber("RHO"), { description: message`where ρ starts` }),
      0.01,
    ),
    ratesLr: withDefault(
      option("--rates-lr", nonNegativeNumber("LR"), {
        description: message`outer learning rate of η and of the logarithm of ρ`,
      }),
      0.02,
    ),
    short: optional(
      option("--short", positiveInteger("STEPS"), {
        description: message`a further row: rmd through so few inner steps alone, with its scores after all T like the others`,
      }),
    ),
  }),
  {
    description:
      "Learns where one-shot tasks start, what pulls them back there and how fast they learn, by truncated and full reverse mode.",
    check: (flags) => checkMeta(flags) ?? checkFewShot(flags) ?? checkOwn(flags),
  },
);
const dataset = await loadCharacters(options);

export const { problem } = centred(options.seed);
if (import.meta.main) await experiment();

function checkOwn({
  shared,
  strides,
  strength,
}: {
  shared: string;
  strides: string;
  strength: number;
}): string | undefined {
  if (strength === 0) return "--strength 0 has no logarithm: give a small number instead";
  const layers = strides.split(",").length;
  const chosen = shared === NO_LAYERS ? [] : numbersOf(shared);
  return chosen === undefined || chosen.some((layer) => layer > layers)
    ? `--shared ${shared}: give layers from 1 to ${layers} with commas between, or ${NO_LAYERS}`
    : undefined;
}

/** @param horizon inner steps of the tasks that outer steps see; scores are after all */
function centred(seed: number, horizon = options.innerSteps): MetaProblem {
  const model = networkOf(dataset, options, seed);
  const { others: centre } = splitLayers(model.parameters, numbersOf(options.shared) ?? []);
  const moves = Object.entries(centre).map(([name, { shape }]) => [name, zeros(shape)]);
  const tasks = characterTasks(dataset, options, seed);
  const { inner, outer } = tasks.training(1);
  type Layers = Readonly<Record<string, Tensor>>;
  const logits = (d: Layers, { rho: _, eta: _eta, ...layers }: Layers, x: Tensor) => {
    const moved = Object.entries(d).map(([name, move]) => [name, add(layers[name]!, move)]);
    return model.apply({ ...layers, ...Object.fromEntries(moved) }, x);
  };
  const error = (d: Layers, a: Layers, { x, y }: Layers) => mean(crossEntropy(logits(d, a, x!), y!));
  const judgedBy = (score: typeof error, steps: number) =>
    bilevel({
      lanes: options.tasks,
      parameters: Object.fromEntries(moves),
      hyper: { ...model.parameters, rho: scalar(Math.log(options.strength)), eta: scalar(options.innerLr) },
      constraints: { eta: nonNegative() },
      inner: {
        data: inner!,
        loss: (d, a, data) => add(error(d, a, data), mul(exp(a.rho!), squaredNorm(d))),
        steps,
        optimizer: sgd({ lr: "eta", momentum: options.momentum }),
      },
      outer: { data: outer!, loss: score },
    });
  return {
    problem: judgedBy(error, horizon),
    scored: judgedBy((d, a, { x, y }) => mean(correct(logits(d, a, x!), y!)), options.innerSteps),
    tasks,
  };
}

async function experiment(): Promise<void> {
  const { short } = options;
  const rows: Row[] = rowsOf(options, (seed) => centred(seed));
  if (short !== undefined) {
    rows.push({ label: `rmd, T = ${short}`, estimator: rmd(), state: (seed) => centred(seed, short) });
  }
  const gpu = await Gpu.open();
  const asked = { data: dataset.name, ...askedOf(options) };
  const layers = outerOptimizerOf(options);
  const rates = outerOptimizerOf({ ...options, outerLr: options.ratesLr });
  const groups = Object.keys(problem.hyper).map((name) => [
    name,
    name === "rho" || name === "eta" ? rates : layers,
  ]);
  const results = await metaLearned(gpu, rows, options, {
    name: NAME,
    settings: asked,
    optimizer: Object.fromEntries(groups),
    extras: async ({ rho, eta }) => ({ rho: Math.exp(rho!.data[0]!), eta: eta!.data[0]! }),
  });
  const adapter = gpu.choice.description;
  if (options.json) printResults(asked, adapter, results);
  else {
    const { shared, tasks, innerSteps, momentum } = options;
    const lines = [
      resultTable(results, { name: "accuracy, %", digits: 2, factor: 100 }, { rho: 4, eta: 3 }),
      "",
      tasksNote(dataset, options),
      networkNote(options),
      `layers shared by all tasks: ${shared}; T = ${innerSteps}, μ = ${momentum}; ${tasks} tasks an outer step`,
      intervalNote(options),
      `adapter: ${adapter}`,
    ];
    print(lines.join("\n"));
  }
  gpu.close();
}
