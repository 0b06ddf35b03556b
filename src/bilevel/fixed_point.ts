import {
  fixedPointBackV,
  fixedPointBackW,
  fixedPointBegin,
  fixedPointStep,
  type FixedPoint as Rule,
} from "../../shaders/fixed_point.ts";
import { Block } from "../gpu/block.ts";
import type { Sequence } from "../gpu/dispatch.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import type { Problem } from "./problem.ts";
import { coefficientOf, startOf } from "./rate.ts";
import { Trajectory } from "./trajectory.ts";
import type { Vectors } from "./vectors.ts";

export interface FixedPointOptions {
  /** |w| and 8 |η v| stay below. */
  readonly range: number;
  /** η is not above; by default the upper bound that a learned one's constraint states, else where it starts. */
  readonly largestRate?: number | undefined;
}

/**
 * The inner loop in whole numbers, forwards and backwards: the state is restored bit for bit, from the bits that the
 * multiplications by μ shifted out. They come to about log2(1/μ) a parameter and step.
 */
export class FixedPoint {
  /** W, V: w and v in units of their own. */
  readonly wholes: { readonly w: Block; readonly v: Block };
  readonly #vectors: Vectors;
  readonly #velocity: Block;
  readonly #rule: Rule;
  readonly #bits: Block;
  /** Of the steps before which the bits are stored, the slot they go to. */
  readonly #spills: ReadonlyMap<number, number>;
  readonly #spilled: Trajectory;
  readonly #steps: number;
  readonly #learnsRate: boolean;

  /**
   * A buffer may have `limit` bytes.
   * @throws ProblemError unless the inner optimizer is plain momentum SGD with a fixed μ in (0, 1), or where nothing
   * says how large a learned η gets.
   */
  constructor(
    problem: Problem,
    vectors: Vectors,
    { range, largestRate = largestOf(problem) }: FixedPointOptions,
    limit: number,
  ) {
    const { leaves, lanes, lr, momentum, optimizer, steps } = problem;
    const { state } = vectors.optimizer;
    if (!optimizer.heavyBall || momentum === undefined || !("value" in momentum) || state === undefined) {
      throw new ProblemError(
        "reversible needs sgd() with a fixed momentum in (0, 1), without nesterov and weight decay: use rmd() or checkpointed()",
      );
    }
    const { numerator, denominator } = fraction(momentum.value);
    // Multiplying V by n / d is off by up to n units, so a unit of v moves w by an eighth of a unit only.
    const unit = powerOfTwo(2 ** 30 / range);
    const scale = { w: unit, v: 8 * unit * powerOfTwo(Math.max(largestRate, LEAST_RATE)) };
    this.#vectors = vectors;
    this.#velocity = state.block;
    this.#steps = steps;
    this.#learnsRate = "group" in lr;
    this.#rule = {
      count: leaves.parameterLayout.size,
      lane: vectors.lane.w,
      scale,
      rate: coefficientOf(lr),
      numerator,
      denominator,
    };
    const block = (label: string) => new Block(label, "trajectory", 4 * vectors.lane.w * lanes);
    this.wholes = { w: block("w in fixed point"), v: block("v in fixed point") };
    this.#bits = block("bits");
    const spills = spillSteps(steps, numerator, denominator);
    this.#spills = new Map(spills.map((t, slot) => [t, slot]));
    this.#spilled = new Trajectory("bits", Math.max(spills.length, 1), 4 * vectors.lane.w * lanes, limit);
  }

  /** From w and v as they are. */
  begin(sequence: Sequence): void {
    this.#vectors.dispatch(sequence, "fixed point", this.#rule.count, 5, fixedPointBegin(this.#rule), [
      ["overwrite", { block: this.wholes.w }],
      ["overwrite", { block: this.wholes.v }],
      ["overwrite", { block: this.#bits }],
      ["write", { block: this.#vectors.parameters }],
      ["write", { block: this.#velocity }],
      ["write", { block: this.#vectors.status }],
    ]);
  }

  /** Step t, after ∇L at w_{t-1}. */
  step(sequence: Sequence, t: number): void {
    const vectors = this.#vectors;
    const slot = this.#spills.get(t);
    // The floats of v are read where η is learned, and after the last step by a warm start.
    const velocity = this.#learnsRate || t === this.#steps;
    const code = fixedPointStep(this.#rule, { spill: slot !== undefined, velocity });
    vectors.dispatch(sequence, "inner step in fixed point", this.#rule.count, 9, code, [
      ["write", { block: this.wholes.w }],
      ["write", { block: this.wholes.v }],
      ["write", { block: this.#bits }],
      ["write", { block: vectors.parameters }],
      velocity ? ["write", { block: this.#velocity }] : undefined,
      ["read", { block: vectors.gradient }],
      slot === undefined ? undefined : ["overwrite", this.#spilled.slot(slot)],
      vectors.coefficient(this.#rule.rate),
      ["uniform", vectors.row(t)],
      ["write", { block: vectors.status }],
    ]);
  }

  /** w_t back to w_{t-1}; then ∇L there is to be computed, for `backV`. */
  backW(sequence: Sequence, t: number): void {
    const vectors = this.#vectors;
    vectors.dispatch(sequence, "inner step back", this.#rule.count, 4, fixedPointBackW(this.#rule), [
      ["write", { block: this.wholes.w }],
      ["read", { block: this.wholes.v }],
      undefined,
      ["write", { block: vectors.parameters }],
      undefined,
      undefined,
      undefined,
      vectors.coefficient(this.#rule.rate),
      ["uniform", vectors.row(t)],
    ]);
  }

  /** v_t back to v_{t-1}. */
  backV(sequence: Sequence, t: number): void {
    const vectors = this.#vectors;
    const slot = this.#spills.get(t);
    const velocity = this.#learnsRate;
    const code = fixedPointBackV(this.#rule, { spill: slot !== undefined, velocity });
    vectors.dispatch(sequence, "velocity back", this.#rule.count, 6, code, [
      undefined,
      ["write", { block: this.wholes.v }],
      ["write", { block: this.#bits }],
      undefined,
      velocity ? ["write", { block: this.#velocity }] : undefined,
      ["read", { block: vectors.gradient }],
      slot === undefined ? undefined : ["read", this.#spilled.slot(slot)],
    ]);
  }
}

const powerOfTwo = (x: number) => 2 ** Math.floor(Math.log2(x));

/** A smaller η counts as one of this size. */
const LEAST_RATE = 2 ** -20;

/** The largest η; of a learned one the bound of its constraint, else the largest that it starts with. */
function largestOf({ lr, hyper, constraints }: Problem): number {
  if ("value" in lr) return lr.value;
  const bound = constraints[lr.group]?.upper ?? Math.max(...Array.from(startOf(lr, hyper)));
  if (bound > 0) return bound;
  throw new ProblemError(
    `reversible chooses the unit of v by the largest η, and "${lr.group}" starts at ${bound}: give it the constraint box({ upper }), or reversible({ largestRate })`,
  );
}

const LARGEST_DENOMINATOR = 2 ** 15;

/** The fraction of least denominator within 1e-7 of μ. */
function fraction(mu: number): { numerator: number; denominator: number } {
  if (mu > 0 && mu < 1) {
    for (let denominator = 2; denominator <= LARGEST_DENOMINATOR; denominator++) {
      const numerator = Math.round(mu * denominator);
      const near = Math.abs(numerator / denominator - mu) <= 1e-7 * mu;
      if (near && numerator > 0 && numerator < denominator) return { numerator, denominator };
    }
  }
  throw new ProblemError(
    `reversible cannot run backwards with the momentum ${mu}: give a fraction in (0, 1) whose denominator is at most ${LARGEST_DENOMINATOR}`,
  );
}

/** The steps before which 32 bits might not hold what the next multiplication adds. */
function spillSteps(steps: number, numerator: number, denominator: number): number[] {
  const spills: number[] = [];
  let largest = 0;
  for (let t = 1; t <= steps; t++) {
    if (largest * denominator + denominator - 1 >= 2 ** 32) {
      spills.push(t);
      largest = 0;
    }
    largest = Math.floor((largest * denominator + denominator - 1) / numerator);
  }
  return spills;
}
