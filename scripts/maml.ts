// A learned initial point (MAML: Finn et al. 2017, §5.1): a small network learns a sine wave from a few of its points in a
// few steps, and where it starts is what the outer steps learn, as a hyperparameter in w_0: `start: "w0"`. The exact
// estimators follow w_0 through all steps; truncated ones are refused with the reason.
//
// First-order MAML takes w_T = w_0 + d_T with the move d_T held fixed. For that row the learned point c stands in the
// losses instead, w = c + d with d trained from 0: the same training, whose first-order term ∂E/∂c is FOMAML.
//
// The paper's sizes: --inner-steps 1 --outer-steps 70000 --held-out-tasks 600 --score-every 1000

import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { positiveInteger } from "../src/host/arguments.ts";
import {
  add,
  bilevel,
  Gpu,
  mean,
  mlp,
  parseArguments,
  perLane,
  print,
  Random,
  scale,
  sgd,
  square,
  sub,
  type Tensor,
  values,
  zeros,
} from "../src/index.ts";
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
  Scorer,
  type Tasks,
} from "./common/meta_learning.ts";

const NAME = "maml";
/** The row that needs the learned point in the losses. */
const FIRST_ORDER = "first-order";
/** The held-out loss is told after so many inner steps. */
const AFTER = [0, 1, 5, 10];

const options = await parseArguments(
  NAME,
  object({
    ...metaFlags(NAME, {
      estimators: "none,rmd,first-order",
      tasks: 25,
      innerSteps: 5,
      innerLr: 0.03,
      momentum: 0,
      outerSteps: 400,
      outerLr: 3e-3,
      scoreEvery: 100,
      heldOutTasks: 100,
    }),
    points: withDefault(
      option("--points", positiveInteger("N"), {
        description: message`of a wave, to learn from; as many others to be judged on`,
      }),
      10,
    ),
    hidden: withDefault(
      option("--hidden", positiveInteger("N"), { description: message`units of each of two hidden layers` }),
      40,
    ),
  }),
  {
    description: "Learns a starting point from which a few steps of gradient descent learn a sine wave.",
    check: checkMeta,
  },
);

export const { problem } = learnedStart({ seed: options.seed, label: "rmd" });
if (import.meta.main) await experiment();

/** Waves a sin(x - φ) with a in [0.1, 5], φ in [0, π], x in [-5, 5]. */
function waves(seed: number): Tasks {
  const { tasks, points } = options;
  const stream = (part: string) => {
    const all = new Random(seed).fork(part);
    return (number: number) => {
      const random = all.fork(number);
      const [learned, judged] = [0, 1].map(() => ({
        x: new Float32Array(tasks * points),
        y: new Float32Array(tasks * points),
      })) as [Points, Points];
      for (let task = 0; task < tasks; task++) {
        const [amplitude, phase] = [0.1 + 4.9 * random.uniform(), Math.PI * random.uniform()];
        for (const { x, y } of [learned, judged]) {
          for (let i = task * points; i < (task + 1) * points; i++) {
            x[i] = 10 * random.uniform() - 5;
            y[i] = amplitude * Math.sin(x[i]! - phase);
          }
        }
      }
      return { inner: onLanes(learned), outer: onLanes(judged) };
    };
  };
  return { training: stream("training"), heldOut: stream("held-out") };
}

type Points = Readonly<Record<"x" | "y", Float32Array>>;

function onLanes({ x, y }: Points) {
  const shape = [options.tasks, options.points, 1];
  return { x: perLane(values(x, shape)), y: perLane(values(y, shape)) };
}

/** @param of.steps inner steps; with 0 nothing is learned */
function learnedStart({
  seed,
  label,
  steps = options.innerSteps,
}: {
  seed: number;
  label: string;
  steps?: number;
}): MetaProblem {
  const model = mlp([1, options.hidden, options.hidden, 1], { seed });
  const { parameters } = model;
  const tasks = waves(seed);
  const { inner, outer } = tasks.training(1);
  type Weights = Readonly<Record<string, Tensor>>;
  const inLosses = label === FIRST_ORDER;
  const entries = Object.entries(parameters);
  const moved = (start: Weights, d: Weights): Weights =>
    Object.fromEntries(entries.map(([name]) => [name, add(start[name]!, d[name]!)]));
  const loss = (w: Weights, start: Weights, { x, y }: Weights) =>
    mean(square(sub(model.apply(inLosses ? moved(start, w) : w, scale(0.2, x!)), y!)));
  const spec = {
    lanes: options.tasks,
    inner: {
      data: inner!,
      loss,
      steps: Math.max(steps, 1),
      optimizer: sgd({ lr: steps === 0 ? 0 : options.innerLr, momentum: options.momentum }),
    },
    outer: { data: outer!, loss },
  };
  const still = entries.map(([name, { shape }]) => [name, zeros(shape)]);
  const w0 = values(Float32Array.from(entries.flatMap(([, { data }]) => [...data])));
  const problem = inLosses
    ? bilevel({ ...spec, parameters: Object.fromEntries(still), hyper: parameters })
    : bilevel<string, string, string, string>({ ...spec, parameters, hyper: { w0 }, start: "w0" });
  return { problem, scored: problem, tasks };
}

async function experiment(): Promise<void> {
  const rows = rowsOf(options, (seed, label) => learnedStart({ seed, label }));
  const gpu = await Gpu.open();
  const asked = { data: "sine waves", ...askedOf(options) };
  const results = await metaLearned(gpu, rows, options, {
    name: NAME,
    settings: asked,
    optimizer: outerOptimizerOf(options),
    async extras(hyper, of) {
      const losses: [string, number][] = [];
      for (const steps of AFTER) {
        const scorer = await Scorer.prepare(gpu, learnedStart({ ...of, steps }));
        const scores = await scorer.at(hyper, options.heldOutTasks);
        scorer.destroy();
        losses.push([afterSteps(steps), scores.reduce((sum, score) => sum + score, 0) / scores.length]);
      }
      return Object.fromEntries(losses);
    },
  });
  const adapter = gpu.choice.description;
  if (options.json) printResults(asked, adapter, results);
  else {
    const { tasks, points, hidden, innerSteps, innerLr, momentum } = options;
    const extras = Object.fromEntries(AFTER.map((steps) => [afterSteps(steps), 3]));
    const lines = [
      resultTable(results, { name: "held-out loss", digits: 3 }, extras),
      "",
      `sine waves of ${points} points, ${tasks} an outer step; a network of 1, ${hidden}, ${hidden} and 1 units; T = ${innerSteps}, η = ${innerLr}, μ = ${momentum}`,
      `${afterSteps(AFTER.at(-1)!)} and so on: the mean loss of held-out waves after so many inner steps from the learned point`,
      intervalNote(options),
      `adapter: ${adapter}`,
    ];
    print(lines.join("\n"));
  }
  gpu.close();
}

/** "T = 5" */
function afterSteps(steps: number): string {
  return `T = ${steps}`;
}
