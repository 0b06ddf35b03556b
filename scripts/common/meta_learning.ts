/** Learning over a stream of tasks: each outer step sees new ones, and others, held out, say how good α has become. */
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { estimatorList } from "../../src/estimators/named.ts";
import { positiveInteger } from "../../src/host/arguments.ts";
import {
  DivergenceError,
  type Estimator,
  firstOrder,
  formatBytes,
  type Gpu,
  type MemoryReport,
  type OptimizeOptions,
  OuterLoop,
  type Problem,
  print,
  type RunSettings,
  type TaskData,
  table,
  type Values,
} from "../../src/index.ts";
import {
  innerFlags,
  jsonFlag,
  momentumFlag,
  outerFlags,
  outerStepsFlag,
  outFlag,
  seedFlag,
} from "./flags.ts";
import { type Estimate, estimate, shown } from "./interval.ts";
import { finished, type Learned } from "./learn.ts";
import {
  assertReadable,
  type RecordOptions,
  recorded,
  recordFlags,
  scoresLogged,
  withoutRecording,
} from "./recorded.ts";

/** The row without learning. */
export const NONE = "none";

export interface MetaDefaults {
  readonly estimators: string;
  readonly tasks: number;
  readonly innerSteps: number;
  readonly innerLr: number;
  readonly momentum: number;
  readonly outerSteps: number;
  readonly outerLr: number;
  readonly scoreEvery: number;
  readonly heldOutTasks: number;
}

/** The flags of a script whose outer steps see new tasks. */
export const metaFlags = (name: string, defaults: MetaDefaults) => ({
  estimators: withDefault(
    option("--estimators", string({ metavar: "LIST" }), {
      description: message`a row for each of these: names with commas between, values of their parameters after a colon; ${NONE} learns nothing`,
    }),
    defaults.estimators,
  ),
  seeds: withDefault(
    option("--seeds", positiveInteger("N"), {
      description: message`runs of each row, one after the other, with first values and tasks of their own`,
    }),
    1,
  ),
  tasks: withDefault(
    option("--tasks", positiveInteger("N"), {
      description: message`the meta-batch: tasks of an outer step, side by side, all new in each step`,
    }),
    defaults.tasks,
  ),
  ...innerFlags({ steps: defaults.innerSteps, lr: defaults.innerLr }),
  ...momentumFlag(defaults.momentum),
  ...outerStepsFlag(defaults.outerSteps),
  ...outerFlags({ outer: "adam", lr: defaults.outerLr }),
  scoreEvery: withDefault(
    option("--score-every", positiveInteger("N"), {
      description: message`outer steps between two scores on held-out tasks`,
    }),
    defaults.scoreEvery,
  ),
  heldOutTasks: withDefault(
    option("--held-out-tasks", positiveInteger("N"), {
      description: message`tasks of a score, the same in all rows`,
    }),
    defaults.heldOutTasks,
  ),
  ...seedFlag(),
  ...outFlag(message`folder for the logs and checkpoints, one of each for each row and seed`),
  ...recordFlags(`${name}-ROW-SEED`),
  ...jsonFlag(),
});

export interface MetaOptions extends RecordOptions {
  readonly estimators: string;
  readonly seeds: number;
  readonly seed: number;
  readonly tasks: number;
  readonly innerSteps: number;
  readonly outerSteps: number;
  readonly scoreEvery: number;
  readonly heldOutTasks: number;
  readonly out: string;
  readonly json: boolean;
}

/** What is wrong with flags that are right one by one, if anything. */
export function checkMeta({ checkpoint, log, estimators, seeds }: MetaOptions): string | undefined {
  const isOne = seeds === 1 && !estimators.includes(",");
  if (isOne || (checkpoint ?? log) === undefined) return undefined;
  return "--checkpoint and --log name the file of one run: give one estimator and one seed, or --out DIR for the files of all";
}

/** Tasks side by side, as new data for the two losses: the same for the same number. */
export interface Tasks {
  /** Those of an outer step. */
  training(step: number): TaskData;
  /** Others, that no outer step sees. */
  heldOut(batch: number): TaskData;
}

/** A problem whose lanes are tasks. */
export interface MetaProblem {
  readonly problem: Problem;
  /** The same inner problem, with the score of a task as its outer loss. */
  readonly scored: Problem;
  readonly tasks: Tasks;
}

export interface Row {
  readonly label: string;
  /** None learns nothing. */
  readonly estimator: Estimator | undefined;
  state(seed: number): MetaProblem;
}

/** The rows of `--estimators`. */
export function rowsOf(
  { estimators, innerSteps }: MetaOptions,
  state: (seed: number, label: string) => MetaProblem,
): Row[] {
  return estimators.split(",").flatMap((name): Row[] => {
    const chosen =
      name.trim() === NONE ? [{ label: NONE, estimator: undefined }] : estimatorList(name, innerSteps);
    return chosen.map((row) => ({ ...row, state: (seed) => state(seed, row.label) }));
  });
}

export type Hyper = Readonly<Record<string, Values>>;

/** Trains on held-out tasks with any α, and says how well each was learned. */
export class Scorer {
  readonly #loop: OuterLoop<string, string>;
  readonly #meta: MetaProblem;

  private constructor(loop: OuterLoop<string, string>, meta: MetaProblem) {
    this.#loop = loop;
    this.#meta = meta;
  }

  static async prepare(gpu: Gpu, meta: MetaProblem): Promise<Scorer> {
    return new Scorer(await OuterLoop.prepare(meta.scored, { gpu, estimator: firstOrder() }), meta);
  }

  /** The scores of the first `count` held-out tasks. @throws DivergenceError */
  async at(hyper: Hyper, count: number): Promise<number[]> {
    const scores: number[] = [];
    this.#loop.setHyper(hyper);
    for (let batch = 0; scores.length < count; batch++) {
      this.#loop.setData(this.#meta.tasks.heldOut(batch));
      const [entry] = await this.#loop.step({ restart: true }).catch(diverged);
      scores.push(...entry!.lanes.map(({ outerLoss }) => outerLoss));
    }
    return scores.slice(0, count);
  }

  destroy(): void {
    this.#loop.destroy();
  }
}

/** Says that it was no outer step of the run that diverged. */
function diverged(error: unknown): never {
  if (!(error instanceof DivergenceError)) throw error;
  const { outerStep, innerStep, lanes } = error;
  const message = "training on held-out tasks diverged: lower the inner learning rate";
  throw new DivergenceError(message, outerStep, innerStep, lanes);
}

/** The scores of held-out tasks after so many outer steps. */
interface Scored {
  readonly outerStep: number;
  readonly heldOut: readonly number[];
}

/** What one seed of a row led to. */
interface Run {
  readonly scores: readonly Scored[];
  /** Numbers of the script's own. */
  readonly extras: Readonly<Record<string, number>>;
  readonly learned: Pick<Learned<string>, "milliseconds" | "memory" | "interrupted" | "steps"> | undefined;
}

export interface RowResult {
  readonly label: string;
  /** By the outer steps before it; over the seeds, or over the held-out tasks of a single one. */
  readonly scores: readonly { readonly outerStep: number; readonly score: Estimate }[];
  readonly extras: Readonly<Record<string, Estimate>>;
  readonly outerStepsDone: number;
  readonly milliseconds?: number;
  readonly memory?: MemoryReport;
}

export interface MetaRun {
  /** Of the script. */
  readonly name: string;
  readonly settings: RunSettings;
  readonly optimizer: OptimizeOptions<string>["optimizer"];
  /** More numbers to report of what a seed of a row learned. */
  readonly extras?: (hyper: Hyper, of: { label: string; seed: number }) => Promise<Record<string, number>>;
}

/** All rows, all seeds; after Ctrl-C those that there are. */
export async function metaLearned(
  gpu: Gpu,
  rows: readonly Row[],
  options: MetaOptions,
  run: MetaRun,
): Promise<RowResult[]> {
  await assertReadable(options);
  const results: RowResult[] = [];
  for (const row of rows) {
    const runs: Run[] = [];
    let interrupted = false;
    for (let k = 0; k < options.seeds && !interrupted; k++) {
      const one = await oneSeed(gpu, row, options.seed + k, options, run);
      interrupted = one.learned?.interrupted ?? false;
      // What was cut short is no match for the other seeds.
      if (!interrupted || k === 0) runs.push(one);
    }
    results.push(resultOf(row.label, runs));
    if (interrupted) break;
  }
  return results;
}

async function oneSeed(
  gpu: Gpu,
  { label, estimator, state }: Row,
  seed: number,
  options: MetaOptions,
  { name, settings, optimizer, extras = async () => ({}) }: MetaRun,
): Promise<Run> {
  const meta = state(seed);
  const { problem, tasks } = meta;
  const scorer = await Scorer.prepare(gpu, meta);
  try {
    const score = async (hyper: Hyper) => await scorer.at(hyper, options.heldOutTasks);
    const before = { outerStep: 0, heldOut: await score(problem.hyper) };
    if (estimator === undefined)
      return { scores: [before], extras: await extras(problem.hyper, { label, seed }), learned: undefined };
    const steps = {
      gpu,
      estimator,
      optimizer,
      steps: options.outerSteps,
      data: (step: number) => tasks.training(step),
      label: `${label}, ${options.seeds > 1 ? `seed ${seed}, ` : ""}outer step`,
    };
    const file = [name, ...label.split(/[^\w.-]+/), seed].filter((part) => part !== "").join("-");
    const asked = { name: file, out: options.out, settings: { ...settings, estimator: label, seed } };
    const learned = await finished(
      recorded(problem, steps, options, asked, async ({ index, isLast, hyper }) =>
        isLast || index % options.scoreEvery === 0 ? { heldOut: await score(await hyper()) } : {},
      ),
    );
    const logged = await scoresLogged(options, asked, "heldOut");
    const after = logged.map(({ outerStep, each }): Scored => ({ outerStep, heldOut: each }));
    return { scores: [before, ...after], extras: await extras(learned.hyper, { label, seed }), learned };
  } finally {
    scorer.destroy();
  }
}

function resultOf(label: string, runs: readonly Run[]): RowResult {
  const [first] = runs as [Run];
  const over = (values: readonly (readonly number[])[]) =>
    estimate(values.length === 1 ? values[0]! : values.map((each) => estimate(each).mean));
  const { learned } = first;
  return {
    label,
    scores: first.scores.flatMap(({ outerStep }) => {
      const each = runs.flatMap(
        ({ scores }) => scores.find((scored) => scored.outerStep === outerStep) ?? [],
      );
      // A run that was interrupted and resumed has a score more than the others.
      return each.length < runs.length
        ? []
        : [{ outerStep, score: over(each.map(({ heldOut }) => heldOut)) }];
    }),
    extras: Object.fromEntries(
      Object.keys(first.extras).map((name) => [name, estimate(runs.map(({ extras }) => extras[name]!))]),
    ),
    outerStepsDone: learned?.steps ?? 0,
    ...(learned && { milliseconds: learned.milliseconds, memory: learned.memory }),
  };
}

/** What was asked for, as it goes into the results, without what has no part in them. */
export function askedOf<T extends MetaOptions & { readonly data?: string | undefined }>(options: T) {
  const { data: _, json: _json, out: _out, estimators: _list, ...rest } = withoutRecording(options);
  return rest;
}

/** How the scores are called and shown. */
export interface Measure {
  readonly name: string;
  readonly digits: number;
  /** 100 for percent. */
  readonly factor?: number;
}

/** One line of JSON. */
export function printResults(asked: object, adapter: string, results: readonly RowResult[]): void {
  const rows = results.map(({ label, scores, extras, milliseconds, memory, outerStepsDone }) => ({
    estimator: label,
    outerStepsDone,
    before: scores[0]!.score,
    after: scores.at(-1)!.score,
    scores: scores.map(({ outerStep, score: { each: _, ...score } }) => ({ outerStep, ...score })),
    ...extras,
    ...(memory && { msPerOuterStep: milliseconds, bytes: memory }),
  }));
  print(JSON.stringify({ ...asked, adapter, rows }));
}

/** Most columns of scores between the first and the last. */
const COLUMNS = 4;

/** A line for each row: scores as outer steps go on, and the script's own numbers. */
export function resultTable(
  results: readonly RowResult[],
  measure: Measure,
  extras: Readonly<Record<string, number>> = {},
): string {
  const { name, digits, factor = 1 } = measure;
  const longest = results.reduce((a, b) => (b.scores.length > a.scores.length ? b : a));
  const all = longest.scores.map(({ outerStep }) => outerStep);
  const stride = Math.max(1, Math.ceil((all.length - 1) / (COLUMNS + 1)));
  const steps = all.filter((_, at) => at === all.length - 1 || at % stride === 0);
  const own = Object.keys(extras);
  const headings = [
    "estimator",
    ...steps.map((step, at) => (at === 0 ? `${name}: at the start` : `after ${step}`)),
    ...own,
    "ms each",
    "bytes",
  ];
  const body = results.map((result) => [
    result.label,
    ...steps.map((step) => {
      const found = result.scores.find(({ outerStep }) => outerStep === step);
      return found === undefined ? "–" : shown(found.score, digits, factor);
    }),
    ...own.map((extra) => {
      const found = result.extras[extra];
      return found === undefined ? "–" : shown(found, extras[extra]!);
    }),
    result.milliseconds?.toFixed(0) ?? "–",
    result.memory === undefined ? "–" : formatBytes(result.memory.total),
  ]);
  return table(headings, body);
}

/** What the intervals of a table are over. */
export function intervalNote({ seeds, seed, heldOutTasks }: MetaOptions): string {
  return seeds === 1
    ? `mean and 95 % interval (Student's t) over ${heldOutTasks} held-out tasks; one seed, ${seed}`
    : `mean and 95 % interval (Student's t) over ${seeds} seeds, each the mean of ${heldOutTasks} held-out tasks`;
}
