import type { Gpu } from "../gpu/gpu.ts";
import type { MemoryReport } from "../gpu/memory.ts";
import type { Values } from "../graph/values.ts";
import type { Estimator } from "./estimator.ts";
import { type LogEntry, OuterLoop } from "./outer_loop.ts";
import type { OuterOptimizer } from "./outer_optimizer.ts";
import { type Problem, positive } from "./problem.ts";

export interface OptimizeOptions<H extends string> {
  readonly gpu: Gpu;
  readonly estimator: Estimator;
  /** One for all groups of α, or one for each group that is to move. */
  readonly optimizer: OuterOptimizer | Partial<Record<H, OuterOptimizer>>;
  /** Outer steps. */
  readonly steps: number;
  /** Each inner loop starts from w_0 ("restart", the default), or from where the last one ended ("warm"). */
  readonly mode?: "restart" | "warm";
  /** Come back to the host every so many outer steps (default 1): fewer waits, later news. */
  readonly every?: number;
  /** New mini-batches for every outer step; else all use the same. */
  readonly reshuffle?: boolean;
}

/** News of an outer step. */
export interface OuterStep<W extends string, H extends string> extends LogEntry {
  /** 1 … steps */
  readonly index: number;
  /** Wall time an outer step, averaged over the steps since the last news. */
  readonly milliseconds: number;
  /** α after the latest submitted step. */
  hyper(): Promise<Record<H, Values>>;
  /** w_T of the latest submitted step. */
  parameters(): Promise<Record<W, Values>>;
  /** h of the latest submitted step. */
  hypergradient(): Promise<Record<H, Values>>;
  /** Bytes on the GPU by role. */
  readonly memory: MemoryReport;
}

/**
 * Moves α along its hypergradient, step by step. Leaving the loop early is fine: what the last step tells stays
 * readable until the generator is closed.
 * @throws MemoryError, ProblemError, DivergenceError, DeviceLostError, ValidationError
 */
export async function* optimize<W extends string, H extends string>(
  problem: Problem<W, H>,
  { gpu, estimator, optimizer, steps, mode = "restart", every = 1, reshuffle = false }: OptimizeOptions<H>,
): AsyncGenerator<OuterStep<W, H>> {
  positive("steps", steps);
  positive("every", every);
  const loop = await OuterLoop.prepare(problem, { gpu, estimator, optimizer, every: Math.min(every, steps) });
  try {
    let since = performance.now();
    for (let index = 1; index <= steps; index++) {
      if (reshuffle && index > 1) loop.reshuffle();
      const restart = mode === "restart" || index === 1;
      const entries = await loop.step({ restart, news: index === steps });
      const milliseconds = (performance.now() - since) / Math.max(entries.length, 1);
      for (const [position, entry] of entries.entries()) {
        yield {
          ...entry,
          index: index - entries.length + position + 1,
          milliseconds,
          hyper: () => loop.hyper(),
          parameters: () => loop.parameters(),
          hypergradient: () => loop.hypergradient(),
          memory: loop.memory,
        };
      }
      if (entries.length > 0) since = performance.now();
    }
  } finally {
    loop.destroy();
  }
}

/** One hypergradient at the problem's α, with E and w_T. */
export async function hypergradient<W extends string, H extends string>(
  problem: Problem<W, H>,
  { gpu, estimator }: { gpu: Gpu; estimator: Estimator },
): Promise<{
  outerLoss: number;
  hypergradient: Record<H, Values>;
  parameters: Record<W, Values>;
  memory: MemoryReport;
}> {
  const loop = await OuterLoop.prepare(problem, { gpu, estimator });
  try {
    const [entry] = await loop.step({ restart: true });
    return {
      outerLoss: entry!.outerLoss,
      hypergradient: await loop.hypergradient(),
      parameters: await loop.parameters(),
      memory: loop.memory,
    };
  } finally {
    loop.destroy();
  }
}
