import type { Estimator } from "../bilevel/estimator.ts";
import { LEAST_NORMAL } from "../bilevel/float32.ts";
import { ProblemError } from "../bilevel/problem.ts";
import type { Unroll } from "../bilevel/unroll.ts";
import type { Block } from "../gpu/block.ts";
import { reverseSweep } from "./sweep.ts";

/**
 * DrMAD (Fu et al. 2016): the reverse loop with every state w_t replaced by (1 - t/T) w_0 + (t/T) w_T, and v_t by
 * the velocity of that line. T products, three vectors instead of a trajectory, four where μ is learned: v_0 is the true
 * one, which an inner loop that goes on from an earlier one begins with. g_T is taken at the true w_T.
 *
 * That velocity, read where η or μ is learned, is (w_0 - w_T) / (T η_t): an η of 0 leaves it undefined, and a tiny one
 * leaves little but the rounding of w. An η that α takes to 0 later is a DivergenceError that says so.
 * @throws ProblemError where the inner optimizer's adjoint reads a state of its own (Adam), or where η or μ is learned
 * and an η starts at 0.
 */
export function drmad(): Estimator {
  return {
    name: "drmad",
    slots: () => 0,
    products: (steps) => steps,
    record(unroll) {
      const { steps } = unroll;
      if (unroll.adjointReadsState)
        throw new ProblemError(
          "drmad knows no states of an adaptive inner optimizer. Use rmd(), checkpointed(), or sgd() inside",
        );
      if (unroll.learnsOptimizer) {
        assertVelocity(unroll);
        unroll.remedy = `${NO_VELOCITY}: keep η above 0 with box({ lower }), or use rmd()`;
      }
      const { parameters: end } = unroll.vectors;
      const [start, point] = [unroll.vector("w_0"), unroll.vector("point on the line")];
      unroll.add(start, end, { decay: 0 });
      const velocity = startVelocity(unroll);
      unroll.innerLoop();
      // Away from w_T: w_0 - w_T, which is also -T times what w moves in a step.
      const back = start;
      unroll.add(back, end, { factor: -1 });
      reverseSweep(unroll, {
        length: steps,
        product(t, halves) {
          unroll.add(point, end, { decay: 0 });
          unroll.add(point, back, { factor: 1 - (t - 1) / steps });
          return unroll.product(t, halves, { block: point });
        },
        optimizerTerms: (t) => addLineTerms(unroll, t, back, velocity),
      });
    },
  };
}

const NO_VELOCITY = "drmad takes v for what w moves in a step over η, which is undefined where η is 0";

/** @throws ProblemError where an η starts at 0 */
function assertVelocity({ startingRates, rates: { lr }, steps }: Unroll): void {
  const index = Array.from(startingRates).findIndex((rate) => Math.abs(rate) < LEAST_NORMAL);
  if (index < 0) return;
  const which = "group" in lr && lr.perStep ? `η of step ${(index % steps) + 1}` : "η";
  throw new ProblemError(
    `${which} starts at ${startingRates[index]}: ${NO_VELOCITY}. Start above 0 and stay there with box({ lower }), or use rmd()`,
  );
}

/** A copy of v_0, where μ is learned. */
function startVelocity(unroll: Unroll): Block | undefined {
  const { state } = unroll.vectors.optimizer;
  const { momentum } = unroll.rates;
  if (state === undefined || momentum === undefined || !("group" in momentum)) return undefined;
  const velocity = unroll.vector("v_0");
  unroll.add(velocity, state.block, { decay: 0 });
  return velocity;
}

/** The terms of η_t and μ_t along a line on which w moves by -`back` / T at each step, so that v = back / (T η). */
function addLineTerms(unroll: Unroll, t: number, back: Block, velocity: Block | undefined): void {
  const { vectors, main, steps } = unroll;
  const { lr, momentum } = unroll.rates;
  const weight = { factor: 1 / steps, rate: "inverse" } as const;
  if ("group" in lr)
    vectors.addDot(main, t, vectors.adjoint, { block: back }, lr, { ...weight, factor: -1 / steps });
  if (velocity === undefined || momentum === undefined || !("group" in momentum)) return;
  if (t === 1) {
    vectors.addDot(main, t, vectors.direction, { block: velocity }, momentum, {});
  } else {
    // v of step t - 1 has the rate of step t - 1, but its term belongs to μ_t.
    const { offset, perStep } = momentum;
    const next = { offset: perStep ? offset + 1 : offset, perStep };
    vectors.addDot(main, t - 1, vectors.direction, { block: back }, next, weight);
  }
}
