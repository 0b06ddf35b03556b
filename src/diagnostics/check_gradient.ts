import type { Estimator } from "../bilevel/estimator.ts";
import { OuterLoop } from "../bilevel/outer_loop.ts";
import { type Problem, positive } from "../bilevel/problem.ts";
import { firstOrder } from "../estimators/first_order.ts";
import { rmd } from "../estimators/krmd.ts";
import { DivergenceError } from "../gpu/errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { assertKnown } from "../gpu/known.ts";
import type { Values } from "../graph/values.ts";
import { Random } from "../random.ts";
import { dot, norm, numbers } from "./closeness.ts";
import { type ProblemSizes, sizesOf } from "./compare.ts";
import { extrapolate, noiseOf } from "./differences.ts";
import { kinksOf } from "./kinks.ts";

/**
 * "undecided" when rounding or curvature hide more than 1 % of the derivative; of one that is zero by the estimator and
 * within the error bar by differences, more than 1 % of ‖h‖ over all groups.
 */
export type Verdict = "agrees" | "disagrees" | "undecided";

/** A derivative of E along one direction of length 1 in α. */
export interface DirectionCheck {
  /** "along h", "random 1", …, or the index of an element. */
  readonly direction: string;
  /** By central differences of the whole unroll, extrapolated to step 0. */
  readonly differences: number;
  /** How far that may be from the truth: what the extrapolation still moves, and three times the rounding. */
  readonly errorBar: number;
  /** By the estimator: ⟨h, d⟩. */
  readonly estimator: number;
  /** Largest move of an element of α in the finest differences used. */
  readonly step: number;
  /** What rounding does to a difference at that step: the noise of E over the step. */
  readonly noise: number;
  readonly verdict: Verdict;
}

export interface GroupCheck<H extends string = string> {
  readonly group: H;
  readonly elements: number;
  /** ‖h‖ of the group. */
  readonly hypergradientNorm: number;
  readonly directions: readonly DirectionCheck[];
  /** "disagrees" if any direction does; "agrees" if all do. */
  readonly verdict: Verdict;
}

export interface GradientCheck<H extends string = string> {
  readonly adapter: string;
  readonly problem: ProblemSizes<H>;
  readonly estimator: string;
  readonly outerLoss: number;
  readonly groups: readonly GroupCheck<H>[];
  /** Operations of the losses whose derivative jumps ("relu"): what crosses a jump is no derivative. */
  readonly kinks: readonly string[];
  readonly verdict: Verdict;
}

export interface CheckOptions<H extends string> {
  readonly gpu: Gpu;
  /** What is checked; default exact reverse mode. An estimate disagrees where it is not exact. */
  readonly estimator?: Estimator;
  /** Random directions in each group of more than four elements (default 2); smaller groups are checked by element. */
  readonly directions?: number;
  readonly seed?: number;
  /** Called with each group as it is done. */
  readonly onGroup?: (group: GroupCheck<H>) => void;
}

/** Groups up to this size are checked element by element. */
const FEW = 4;
/** Of the derivative: what an error bar may leave open. */
const RESOLUTION = 0.01;
/** Of the derivative: what rounding may do to the estimator's side. */
const ROUNDING = 1e-4;
const MOST_HALVINGS = 24;

const KNOWN = { gpu: true, estimator: true, directions: true, seed: true, onGroup: true };

/**
 * Holds the hypergradient against central differences of E(w_T(α), α) through the whole inner loop, group by group of
 * α. The step goes down by halves from about the size of α until rounding drowns the difference; what is told is the
 * Richardson extrapolation with the smallest error bar that all finer steps bear out.
 * @throws ProblemError where the estimator refuses the problem; DivergenceError when E is not finite at α itself.
 */
export async function checkGradient<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: CheckOptions<H>,
): Promise<GradientCheck<H>> {
  assertKnown("checkGradient", options, KNOWN);
  const { gpu, estimator = rmd(), directions = 2, seed = 0, onGroup } = options;
  positive("directions", directions);
  const h = await hypergradientBy(problem, gpu, estimator);
  // It costs the inner loop and E alone.
  const loop = await OuterLoop.prepare(problem, { gpu, estimator: firstOrder() });
  // The sum over the α that there are: what the lanes' own hypergradients belong to.
  const value = async (): Promise<number> => {
    const [entry] = await loop.step({ restart: true, news: true });
    return entry!.outerLoss * problem.owners;
  };
  try {
    const outerLoss = await value();
    const groups: GroupCheck<H>[] = [];
    const wholeNorm = norm(numbers(h));
    for (const group of problem.leaves.hyperLayout.names) {
      const at = { problem, group, h: h[group], wholeNorm, outerLoss };
      const along = (elements: Float32Array): Promise<number> => {
        loop.setHyper({ ...problem.hyper, [group]: { ...problem.hyper[group], data: elements } });
        return value().catch((error: unknown) => {
          if (error instanceof DivergenceError) return Number.NaN;
          throw error;
        });
      };
      const found = await checkGroup(at, directions, new Random(seed).fork(group), along);
      onGroup?.(found);
      groups.push(found);
    }
    return {
      adapter: gpu.choice.description,
      problem: sizesOf(problem),
      estimator: estimator.name,
      outerLoss: outerLoss / problem.owners,
      groups,
      kinks: kinksOf(problem),
      verdict: worst(groups),
    };
  } finally {
    loop.destroy();
  }
}

async function hypergradientBy<W extends string, H extends string>(
  problem: Problem<W, H>,
  gpu: Gpu,
  estimator: Estimator,
): Promise<Record<H, Values>> {
  const loop = await OuterLoop.prepare(problem, { gpu, estimator });
  try {
    await loop.step({ restart: true, news: true });
    return await loop.hypergradient();
  } finally {
    loop.destroy();
  }
}

interface Group<W extends string, H extends string> {
  readonly problem: Problem<W, H>;
  readonly group: H;
  readonly h: Values;
  /** ‖h‖ over all groups. */
  readonly wholeNorm: number;
  readonly outerLoss: number;
}

/** E with these elements in the group; NaN where the inner loop diverges. */
type Evaluate = (elements: Float32Array) => Promise<number>;

async function checkGroup<W extends string, H extends string>(
  { problem, group, h, wholeNorm, outerLoss }: Group<W, H>,
  randoms: number,
  random: Random,
  evaluate: Evaluate,
): Promise<GroupCheck<H>> {
  const alpha = problem.hyper[group].data;
  const checks: DirectionCheck[] = [];
  for (const { name, elements } of directionsOf(h.data, randoms, random)) {
    const at = { alpha, h: h.data, wholeNorm, outerLoss };
    checks.push({ direction: name, ...(await checkDirection(at, elements, evaluate)) });
  }
  return {
    group,
    elements: alpha.length,
    hypergradientNorm: norm(h.data),
    directions: checks,
    verdict: worst(checks),
  };
}

/** The elements one by one when they are few; else along h, where the signal is largest, and at random. */
function directionsOf(h: ArrayLike<number>, randoms: number, random: Random) {
  const { length } = h;
  const vector = (element: (i: number) => number) => Array.from({ length }, (_, i) => element(i));
  if (length <= FEW) {
    return vector((i) => i).map((j) => ({ name: `element ${j}`, elements: vector((i) => Number(i === j)) }));
  }
  const isZero = norm(h) === 0;
  return [
    ...(isZero ? [] : [{ name: "along h", elements: vector((i) => h[i]!) }]),
    ...Array.from({ length: randoms }, (_, k) => ({
      name: `random ${k + 1}`,
      elements: vector(() => random.normal()),
    })),
  ];
}

interface Place {
  readonly alpha: ArrayLike<number>;
  readonly h: ArrayLike<number>;
  readonly wholeNorm: number;
  readonly outerLoss: number;
}

async function checkDirection(
  { alpha, h, wholeNorm, outerLoss }: Place,
  given: readonly number[],
  evaluate: Evaluate,
): Promise<Omit<DirectionCheck, "direction">> {
  const length = norm(given);
  const direction = given.map((element) => element / length);
  const largest = Math.max(...direction.map(Math.abs));
  const spread = norm(alpha) / Math.sqrt(alpha.length) || 1;
  const moved = (step: number) =>
    Float32Array.from(direction, (element, i) => alpha[i]! + (step / largest) * element);

  const noise = await noiseOf(outerLoss, (offset) => evaluate(moved(offset * spread)));
  const analytic = dot(h, direction);
  // A random direction meets this much of h: for one that happens to be across h, too.
  const expected = norm(h) / Math.sqrt(h.length);
  const useless = RESOLUTION * Math.max(Math.abs(analytic), expected);
  /** By differences less by the estimator, along the way that float32 really went. */
  const residual = async (step: number) => {
    const [ahead, behind] = [moved(step), moved(-step)];
    const way = Array.from(ahead, (element, i) => element - behind[i]!);
    const rise = (await evaluate(ahead)) - (await evaluate(behind));
    return (rise - dot(h, way)) / norm(way);
  };
  const start = 0.25 * Math.max(spread, 1);
  const limit = await extrapolate(residual, { start, most: MOST_HALVINGS, noise: noise * largest, useless });
  const differences = analytic + limit.value;
  const signal = Math.max(Math.abs(analytic), Math.abs(differences), expected);
  const slack = ROUNDING * signal;
  const isZero = Math.abs(analytic) <= ROUNDING * wholeNorm && Math.abs(differences) <= limit.errorBar;
  const resolved = RESOLUTION * Math.max(signal, isZero ? wholeNorm : 0);
  return {
    differences,
    errorBar: limit.errorBar,
    estimator: analytic,
    step: limit.step,
    noise: (noise * largest) / (Math.SQRT2 * limit.step),
    verdict:
      Math.abs(limit.value) > limit.errorBar + slack
        ? "disagrees"
        : limit.errorBar <= resolved
          ? "agrees"
          : "undecided",
  };
}

function worst(checks: readonly { readonly verdict: Verdict }[]): Verdict {
  const has = (verdict: Verdict) => checks.some((check) => check.verdict === verdict);
  return has("disagrees") ? "disagrees" : has("undecided") ? "undecided" : "agrees";
}
