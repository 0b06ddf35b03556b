import { assertEstimator, type Estimator } from "../bilevel/estimator.ts";
import { assertRuns, type Problem, ProblemError, positive } from "../bilevel/problem.ts";
import { checkpointed } from "../estimators/checkpointed.ts";
import { rmd } from "../estimators/krmd.ts";
import { labelOf } from "../estimators/named.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { kindOf } from "../gpu/kind.ts";
import { assertKnown } from "../gpu/known.ts";
import type { Shape } from "../graph/shape.ts";
import type { Values } from "../graph/values.ts";
import { type Closeness, closeness, closenessByGroup, norm, numbers } from "./closeness.ts";
import { Entrant, type Measured, type Point, type Refusal, type Rounds } from "./entrant.ts";

export interface Labelled {
  readonly label: string;
  readonly estimator: Estimator;
}

export interface CompareOptions {
  readonly gpu: Gpu;
  /** With the labels that they shall have; else each has its name and settings: "krmd(5)". Equal ones are numbered. */
  readonly estimators: readonly (Estimator | Labelled)[] | Readonly<Record<string, Estimator>>;
  /** What the truth is taken from; default exact reverse mode, checkpointed where its trajectory does not fit. */
  readonly reference?: Estimator;
}

const KNOWN = { gpu: true, estimators: true, reference: true };

const ONCE: Rounds = { repeats: 1, warmUp: 0 };

/** An estimator's row: how near it is to the exact hypergradient, and what it takes. */
export interface Compared<H extends string> extends Closeness, Measured<H> {
  readonly label: string;
  /** Of the estimator, without parameters. */
  readonly name: string;
  /** ‖h‖ */
  readonly hypergradientNorm: number;
  /** How near each group of α is. */
  readonly groups: Record<H, Closeness>;
  readonly error?: undefined;
}

/** The row of an estimator that does not take the problem, with the reason. */
export interface Refused extends Refusal {
  readonly label: string;
  readonly name: string;
}

export interface ComparisonResult<H extends string> {
  readonly adapter: string;
  readonly problem: ProblemSizes<H>;
  /** With `error`, there is no truth: cosines and errors are NaN. */
  readonly reference: { readonly name: string; readonly error?: string };
  readonly estimators: readonly (Compared<H> | Refused)[];
}

export interface ProblemSizes<H extends string = string> {
  /** T */
  readonly steps: number;
  /** P */
  readonly parameters: number;
  /** H */
  readonly hyperparameters: number;
  readonly lanes: number;
  /** Shapes of the groups of α. */
  readonly groups: Record<H, Shape>;
}

/**
 * Holds estimators against exact reverse mode at one point. Each is made ready, run and freed before the next, so
 * that no more than one of them is in memory.
 * @throws ProblemError for options that there are not; DeviceLostError, ValidationError; what an estimator refuses is
 * said in its row.
 */
export async function compare<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: CompareOptions & {
    /** Default: the problem's α and w_0. */
    readonly at?: Point<W, H>;
    /** Timed runs of each estimator (default 5; fewer of one that takes seconds), after one that is not. */
    readonly repeats?: number;
    /** Called with each row as it is there. */
    readonly onRow?: (row: Compared<H> | Refused) => void;
  },
): Promise<ComparisonResult<H>> {
  assertKnown("compare", options, { ...KNOWN, at: true, repeats: true, onRow: true });
  const { gpu, estimators, at = {}, repeats = 5, onRow } = options;
  assertKnown("at", at, { hyper: true, parameters: true });
  positive("repeats", repeats);
  const measure = async (entrant: Entrant<W, H>, rounds: Rounds) => {
    try {
      return await entrant.measure(at, rounds);
    } finally {
      entrant.destroy();
    }
  };
  const chosen = labelled(estimators);
  const reference = await referenceFor(problem, options);
  const truth = await measure(reference, ONCE);
  const rows: (Compared<H> | Refused)[] = [];
  for (const { label, estimator } of chosen) {
    const entrant = await Entrant.prepare(problem, gpu, label, estimator);
    const row = rowOf(entrant, await measure(entrant, { repeats, warmUp: 1 }), truth);
    onRow?.(row);
    rows.push(row);
  }
  return resultOf(problem, gpu, reference.estimator, truth, rows);
}

/** Estimators and their reference, kept ready for one point after another: for every n-th step of an optimisation. */
export class Comparison<W extends string, H extends string> {
  readonly #problem: Problem<W, H>;
  readonly #gpu: Gpu;
  readonly #reference: Entrant<W, H>;
  readonly #entrants: readonly Entrant<W, H>[];

  /** All of them are in memory at once. @throws ProblemError, DeviceLostError, ValidationError */
  static async prepare<W extends string, H extends string>(
    problem: Problem<W, H>,
    options: CompareOptions,
  ): Promise<Comparison<W, H>> {
    assertKnown("Comparison.prepare", options, KNOWN);
    const { gpu, estimators } = options;
    const chosen = labelled(estimators);
    const reference = await referenceFor(problem, options);
    const entrants: Entrant<W, H>[] = [];
    for (const { label, estimator } of chosen) {
      entrants.push(await Entrant.prepare(problem, gpu, label, estimator));
    }
    return new Comparison(problem, gpu, reference, entrants);
  }

  private constructor(
    problem: Problem<W, H>,
    gpu: Gpu,
    reference: Entrant<W, H>,
    entrants: readonly Entrant<W, H>[],
  ) {
    this.#problem = problem;
    this.#gpu = gpu;
    this.#reference = reference;
    this.#entrants = entrants;
  }

  /**
   * Compares at α and at a start of the inner loop, as `step.hyper()` and, where the inner loop is warm-started,
   * `step.parameters()` of the optimisation's last step tell them. Every estimator runs once.
   */
  async at(
    point: Point<W, H> = {},
  ): Promise<ComparisonResult<H> & { readonly exact: Measured<H> | Refusal }> {
    const truth = await this.#reference.measure(point, ONCE);
    const rows: (Compared<H> | Refused)[] = [];
    for (const entrant of this.#entrants) {
      rows.push(rowOf(entrant, await entrant.measure(point, ONCE), truth));
    }
    const result = resultOf(this.#problem, this.#gpu, this.#reference.estimator, truth, rows);
    return { ...result, exact: truth };
  }

  destroy(): void {
    for (const entrant of [this.#reference, ...this.#entrants]) entrant.destroy();
  }
}

async function referenceFor<W extends string, H extends string>(
  problem: Problem<W, H>,
  { gpu, reference }: CompareOptions,
): Promise<Entrant<W, H>> {
  assertRuns(problem, gpu);
  const prepare = (estimator: Estimator) => Entrant.prepare(problem, gpu, estimator.name, estimator);
  const first = await prepare(reference ?? rmd());
  if (reference !== undefined || first.isReady) return first;
  const second = await prepare(checkpointed());
  return second.isReady ? second : first;
}

function labelled(estimators: CompareOptions["estimators"]): Labelled[] {
  if (typeof estimators !== "object" || estimators === null)
    throw new ProblemError(`estimators is ${kindOf(estimators)}: give a list such as [krmd({ k: 5 }), cg()]`);
  const list = isList(estimators)
    ? estimators.map((given) => (isLabelled(given) ? given : withLabel(given)))
    : Object.entries(estimators).map(([label, estimator]) => ({ label, estimator }));
  for (const { estimator } of list) assertEstimator(estimator);
  return list.map(({ label, estimator }, index) => {
    const isEqual = (other: Labelled) => other.label === label;
    const isAlone = list.filter(isEqual).length === 1;
    const number = list.slice(0, index + 1).filter(isEqual).length;
    return { label: isAlone ? label : `${label} #${number}`, estimator };
  });
}

function isLabelled(given: Estimator | Labelled): given is Labelled {
  return typeof given === "object" && given !== null && "estimator" in given;
}

function withLabel(given: Estimator): Labelled {
  assertEstimator(given);
  return { label: labelOf(given), estimator: given };
}

function isList(
  estimators: CompareOptions["estimators"],
): estimators is Extract<CompareOptions["estimators"], readonly unknown[]> {
  return Array.isArray(estimators);
}

function rowOf<W extends string, H extends string>(
  { label, estimator: { name } }: Entrant<W, H>,
  found: Measured<H> | Refusal,
  truth: Measured<H> | Refusal,
): Compared<H> | Refused {
  if ("error" in found) return { label, name, ...found };
  const { hypergradient } = found;
  const exact = "error" in truth ? unknown(hypergradient) : truth.hypergradient;
  return {
    label,
    name,
    ...closeness(hypergradient, exact),
    ...found,
    hypergradientNorm: norm(numbers(hypergradient)),
    groups: closenessByGroup(hypergradient, exact),
  };
}

/** NaN in the shape of a vector. */
function unknown<H extends string>(vector: Record<H, Values>): Record<H, Values> {
  const entries = Object.entries<Values>(vector).map(([group, { shape, data }]) => [
    group,
    { shape, data: new Float32Array(data.length).fill(Number.NaN) },
  ]);
  return Object.fromEntries(entries) as Record<H, Values>;
}

function resultOf<W extends string, H extends string>(
  problem: Problem<W, H>,
  gpu: Gpu,
  { name }: Estimator,
  truth: Measured<H> | Refusal,
  estimators: readonly (Compared<H> | Refused)[],
): ComparisonResult<H> {
  return {
    adapter: gpu.choice.description,
    problem: sizesOf(problem),
    reference: "error" in truth ? { name, error: truth.error } : { name },
    estimators,
  };
}

export function sizesOf<W extends string, H extends string>({
  leaves,
  lanes,
  steps,
}: Problem<W, H>): ProblemSizes<H> {
  const { parameterLayout, hyperLayout } = leaves;
  return {
    steps,
    parameters: parameterLayout.size,
    hyperparameters: hyperLayout.size,
    lanes,
    groups: Object.fromEntries(hyperLayout.names.map((name) => [name, hyperLayout.shape(name)])) as Record<
      H,
      Shape
    >,
  };
}
