import type { Gpu } from "../gpu/gpu.ts";
import { kindOf } from "../gpu/kind.ts";
import { assertKnown } from "../gpu/known.ts";
import type { MemoryReport } from "../gpu/memory.ts";
import type { Values } from "../graph/values.ts";
import type { Checkpoint, Fingerprint } from "./checkpoint.ts";
import type { Estimator } from "./estimator.ts";
import type { LogEntry } from "./outer_log.ts";
import { byGroup, OuterLoop, type TaskData } from "./outer_loop.ts";
import type { OuterOptimizer } from "./outer_optimizer.ts";
import { assertRuns, type Problem, ProblemError, positive } from "./problem.ts";

export interface OptimizeOptions<H extends string> {
  readonly gpu: Gpu;
  readonly estimator: Estimator;
  /** One for all groups of α, or one for each group that is to move: with {} none does. */
  readonly optimizer: OuterOptimizer | Partial<Record<H, OuterOptimizer>>;
  /** Outer steps. */
  readonly steps: number;
  /** Each inner loop starts from w_0 ("restart", the default), or from where the last one ended ("warm"). */
  readonly mode?: "restart" | "warm";
  /** Come back to the host every so many outer steps (default 1): fewer waits, later news. */
  readonly every?: number;
  /** Where a level has mini-batches: new ones for every outer step (the default), or the same for all. */
  readonly reshuffle?: boolean;
  /**
   * New data for outer step 1 … steps, such as the tasks of a meta-batch. That of a step is asked for while the step
   * before it runs. What it depends on is the step alone, so that a run can be resumed in the middle.
   */
  readonly data?: (step: number) => TaskData | Promise<TaskData>;
  /** Go on after the outer step at which `checkpoint()` gave this, to the same bits as if there had been no break. */
  readonly resume?: Checkpoint;
}

/** News of an outer step. */
export interface OuterStep<W extends string, H extends string> extends LogEntry {
  /** 1 … steps */
  readonly index: number;
  /** Wall time an outer step, averaged over the steps since the last news. */
  readonly milliseconds: number;
  /** The latest submitted step, of which the functions below tell: more than `index` where news come together. */
  readonly latest: number;
  /** α after the latest submitted step. */
  hyper(): Promise<Record<H, Values>>;
  /** w_T of the latest submitted step. */
  parameters(): Promise<Record<W, Values>>;
  /** h of the latest submitted step. */
  hypergradient(): Promise<Record<H, Values>>;
  /** What the latest submitted step leaves to the next one, for `resume`. */
  checkpoint(): Promise<Checkpoint>;
  /** Bytes on the GPU by role. */
  readonly memory: MemoryReport;
}

const KNOWN = {
  ...{ gpu: true, estimator: true, optimizer: true, steps: true },
  ...{ mode: true, every: true, reshuffle: true, data: true, resume: true },
};

/**
 * Moves α along its hypergradient, step by step. Leaving the loop early is fine: what the last step tells stays
 * readable until the generator is closed.
 * @throws MemoryError, ProblemError, DivergenceError, DeviceLostError, ValidationError
 */
export async function* optimize<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: OptimizeOptions<H>,
): AsyncGenerator<OuterStep<W, H>> {
  assertKnown("optimize", options, KNOWN);
  const { gpu, estimator, optimizer, steps, mode = "restart", every = 1 } = options;
  assertRuns(problem, gpu);
  const dataOf = async (step: number) => (step <= steps ? await options.data?.(step) : undefined);
  positive("steps", steps);
  positive("every", every);
  assertOptions(options);
  if (mode === "warm") assertGoesOn(problem, optimizer);
  const drawsBatches = (problem.inner.batches ?? problem.outer.batches) !== undefined;
  const reshuffle = drawsBatches && (options.reshuffle ?? true);
  const done = options.resume?.step ?? 0;
  if (done >= steps) {
    throw new ProblemError(
      `the checkpoint was taken after outer step ${done}, and steps is ${steps}: nothing is left to do. Give more steps`,
    );
  }
  const loop = await OuterLoop.prepare(problem, { gpu, estimator, optimizer, every: Math.min(every, steps) });
  try {
    const how: Fingerprint = {
      "inner loops": mode === "warm" ? "go on from the last one" : "start anew",
      reshuffled: reshuffle ? "for each outer step" : "never",
      ...(options.data && { data: "new for each outer step" }),
    };
    if (options.resume) await loop.restore(options.resume, how);
    let data = await dataOf(done + 1);
    let since = performance.now();
    for (let index = done + 1; index <= steps; index++) {
      if (reshuffle && index > 1) loop.reshuffle();
      const restart = mode === "restart" || index === 1;
      if (options.data) loop.setData(data as TaskData);
      const finished = loop.step({ restart, news: index === steps });
      const [entries, next] = await Promise.all([finished, dataOf(index + 1)]);
      data = next;
      const milliseconds = (performance.now() - since) / Math.max(entries.length, 1);
      for (const [position, entry] of entries.entries()) {
        yield {
          ...entry,
          index: index - entries.length + position + 1,
          milliseconds,
          latest: index,
          hyper: () => loop.hyper(),
          parameters: () => loop.parameters(),
          hypergradient: () => loop.hypergradient(),
          checkpoint: () => loop.save(how),
          memory: loop.memory,
        };
      }
      if (entries.length > 0) since = performance.now();
    }
  } finally {
    loop.destroy();
  }
}

/** @throws ProblemError where w_0 is to move: only the first inner loop starts there */
function assertGoesOn<W extends string, H extends string>(
  { start, leaves }: Problem<W, H>,
  optimizer: OptimizeOptions<H>["optimizer"],
): void {
  if (!byGroup(leaves.hyperLayout.names, optimizer).some(([name]) => name === start)) return;
  throw new ProblemError(
    `mode: "warm" goes on from where the last inner loop ended: after the first outer step nothing depends on w_0, the group "${start}". Use mode: "restart", or give "${start}" no optimizer`,
  );
}

/** @throws ProblemError for what the types do not let pass, but JavaScript does */
function assertOptions<H extends string>({ mode, optimizer, resume }: OptimizeOptions<H>): void {
  if (mode !== undefined && mode !== "restart" && mode !== "warm")
    throw new ProblemError(`mode is ${kindOf(mode)}: give "restart" or "warm"`);
  if (optimizer === undefined) {
    throw new ProblemError(
      "there is no outer optimizer: give adam() or gradientDescent(), for all groups or by name; hypergradient() does without",
    );
  }
  if (
    resume !== undefined &&
    !(Number.isInteger(resume?.step) && resume.step >= 0 && resume.of && resume.state)
  ) {
    throw new ProblemError(
      "resume is no checkpoint: give what step.checkpoint() gave, or the checkpoint that readCheckpoint() found in a file",
    );
  }
}

/** One hypergradient at the problem's α, with E and w_T. @throws as `optimize` does */
export async function hypergradient<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: { gpu: Gpu; estimator: Estimator },
): Promise<{
  outerLoss: number;
  lanes: LogEntry["lanes"];
  hypergradient: Record<H, Values>;
  parameters: Record<W, Values>;
  memory: MemoryReport;
}> {
  assertKnown("hypergradient", options, { gpu: true, estimator: true });
  const loop = await OuterLoop.prepare(problem, options);
  try {
    const [entry] = await loop.step({ restart: true });
    return {
      outerLoss: entry!.outerLoss,
      lanes: entry!.lanes,
      hypergradient: await loop.hypergradient(),
      parameters: await loop.parameters(),
      memory: loop.memory,
    };
  } finally {
    loop.destroy();
  }
}
