/** The outer loop as scripts run it: a progress bar, and an end after all steps or Ctrl-C. */
import {
  note,
  type OptimizeOptions,
  onInterrupt,
  optimize,
  type Problem,
  progress,
  type Values,
} from "../../src/index.ts";

export interface Learned<H extends string> {
  /** α at the end. */
  readonly hyper: Record<H, Values>;
  /** E before each outer step that was done. */
  readonly losses: readonly number[];
  /** Median time of an outer step. */
  readonly milliseconds: number;
}

/** @param follow gets α after each outer step. @throws what `optimize` throws */
export async function learn<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: OptimizeOptions<H>,
  follow?: (hyper: Record<H, Values>) => void,
): Promise<Learned<H>> {
  let interrupted = false;
  const forget = onInterrupt(() => {
    interrupted = true;
    note("interrupted: finishing this outer step");
  });
  const bar = progress({ total: options.steps, label: "outer step" });
  const losses: number[] = [];
  const times: number[] = [];
  try {
    for await (const step of optimize(problem, options)) {
      losses.push(step.outerLoss);
      times.push(step.milliseconds);
      if (follow !== undefined) follow(await step.hyper());
      bar.update(step.index, { "validation loss": step.outerLoss.toFixed(4) });
      if (!interrupted && step.index < options.steps) continue;
      return {
        hyper: await step.hyper(),
        losses,
        milliseconds: times.sort((a, b) => a - b)[times.length >> 1]!,
      };
    }
    throw new Error("the outer loop ended before its last step");
  } finally {
    bar.stop();
    forget();
  }
}
