import type { Estimator } from "../bilevel/estimator.ts";
import { positive } from "../bilevel/problem.ts";
import type { Snapshot } from "../bilevel/unroll.ts";
import { assertKnown } from "../gpu/known.ts";
import { reverseSweep } from "./sweep.ts";

/**
 * Exact reverse mode that stores the state (w, v) of each `every`-th step alone and runs the steps between anew
 * (Griewank 1992; Chen et al. 2016): the bits of `rmd`, T products and up to T more inner steps. With the default
 * ⌈√T⌉ the memory is about 2P·√T for the states and P·√T for the segment that is swept.
 * @throws ProblemError unless `every` is a whole number > 0.
 */
export function checkpointed(options: { every?: number } = {}): Estimator {
  assertKnown("checkpointed", options, { every: true });
  const { every } = options;
  if (every !== undefined) positive("every", every);
  const segment = (steps: number) => Math.min(every ?? Math.ceil(Math.sqrt(steps)), steps);
  return {
    name: "checkpointed",
    settings: { every },
    slots: segment,
    products: (steps) => steps,
    record(unroll) {
      const { steps } = unroll;
      const length = segment(steps);
      const last = Math.floor((steps - 1) / length) * length;
      const saved = new Map<number, Snapshot>();
      for (let t = 1; t <= steps; t++) {
        if (t <= last && (t - 1) % length === 0) saved.set(t - 1, unroll.save(String(t - 1)));
        unroll.innerStep(t, { store: t > last });
      }
      const end = last > 0 ? unroll.save(String(steps)) : undefined;
      const replay = (from: number) => {
        unroll.restore(saved.get(from)!);
        for (let t = from + 1; t <= from + length; t++) unroll.innerStep(t, { store: true });
      };
      const isLastOfSegment = (t: number) => t === steps || t % length === 0;
      reverseSweep(unroll, {
        length: steps,
        before: (t) => (t < steps && isLastOfSegment(t) ? () => replay(t - length) : undefined),
        optimizerTerms: (t) => unroll.addOptimizerTerms(t, { newest: isLastOfSegment(t) }),
      });
      if (end) unroll.restore(end);
    },
  };
}
