import { remedyFor, unsoundHypergradient } from "../bilevel/divergence.ts";
import type { LinearSolve } from "../bilevel/linear_solve.ts";
import { assertRuns, type Problem, ProblemError, positive } from "../bilevel/problem.ts";
import { DivergenceError } from "../gpu/errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { assertKnown } from "../gpu/known.ts";
import type { MemoryReport } from "../gpu/memory.ts";
import type { Values } from "../graph/values.ts";
import { HoagLoop, type Report } from "./hoag_loop.ts";
import { type StepChange, StepLength } from "./step_length.ts";
import { type Tolerance, toleranceOf } from "./tolerance.ts";

export interface HoagOptions {
  readonly gpu: Gpu;
  /** Outer steps. */
  readonly steps: number;
  /**
   * ε_k: "quadratic" 0.1/k², "cubic" 0.1/k³, "exponential" 0.1 · 0.9^k (the default), or a function. The inner problem is
   * solved to ‖∇_w L(w)‖ ≤ ε_k ‖∇_w L(w_0)‖ at the first α, the linear system to ‖H q - ∇_w E‖ ≤ ε_k ‖∇_w E‖. No smaller
   * than 1e-6: float32 does not resolve more.
   */
  readonly tolerance?: Tolerance;
  /** 1/L_1; by default the root mean square of the first move of α is 1. */
  readonly firstStep?: number;
  /** Most inner steps an outer step, in whole inner loops of the problem's T (default 10000). */
  readonly innerSteps?: number;
  /** Most iterations of the linear solver an outer step, in whole submits of `submit` (default 200). */
  readonly iterations?: number;
  /** Iterations of the linear solver a submit (default 10, or all if they are fewer). */
  readonly submit?: number;
}

/** How the inner problem was solved. */
export interface InnerSolve {
  /** "stalled": further steps did not make the gradient smaller, as where float32 rounds. */
  readonly status: "converged" | "out of steps" | "stalled";
  /** A multiple of the problem's T. */
  readonly steps: number;
  /** ‖∇_w L(w_k)‖, the largest of the lanes. */
  readonly gradientNorm: number;
  /** What it had to come down to. */
  readonly target: number;
}

/** News of an outer step of HOAG. */
export interface HoagStep<W extends string, H extends string> {
  /** 1 … steps */
  readonly index: number;
  /** E(w_k, α_k) before α moved; the mean over lanes. */
  readonly outerLoss: number;
  /** ‖p_k‖ */
  readonly hypergradientNorm: number;
  /** ε_k */
  readonly tolerance: number;
  readonly inner: InnerSolve;
  /** How the linear solve of each lane ended. */
  readonly solves: readonly LinearSolve[];
  /** 1/L_k; 0 where α stayed, because a linear solve met a direction of no positive curvature. */
  readonly stepLength: number;
  /** What became of the step length; "none" where α stayed. */
  readonly change: StepChange | "none";
  /** ‖α_{k+1} - α_k‖, after the projection. */
  readonly moved: number;
  readonly milliseconds: number;
  /** α after the move. */
  hyper(): Promise<Record<H, Values>>;
  /** w_k */
  parameters(): Promise<Record<W, Values>>;
  /** p_k */
  hypergradient(): Promise<Record<H, Values>>;
  /** Bytes on the GPU by role. */
  readonly memory: MemoryReport;
}

const KNOWN = {
  ...{ gpu: true, steps: true, tolerance: true, firstStep: true },
  ...{ innerSteps: true, iterations: true, submit: true },
};

/**
 * HOAG (Pedregosa 2016, "Hyperparameter optimization with approximate gradient", algorithm 1): at outer step k the inner
 * problem and H q = ∇_w E are solved to a tolerance ε_k that falls from step to step, each from its last answer on; then
 * α moves along p_k = ∇_α E - H_αw q by 1/L_k and is projected onto its constraints. `StepLength` tells the rule for L_k.
 * A linear solve that runs out of iterations still moves α; one without positive curvature does not. α at which an inner
 * step diverges are best kept away by a constraint: for a penalty e^λ w², box({ upper }) with η e^λ < 1.
 *
 * Memory beyond w, v, α: six vectors like w, whatever the number of inner steps.
 * @throws ProblemError with mini-batches, w_0, η or μ as hyperparameters or weight decay in the optimizer;
 * MemoryError, DivergenceError, DeviceLostError, ValidationError
 */
export async function* hoag<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: HoagOptions,
): AsyncGenerator<HoagStep<W, H>> {
  assertKnown("hoag", options, KNOWN);
  const { gpu, steps, tolerance = "exponential", firstStep, innerSteps = 10_000, iterations = 200 } = options;
  const { submit = Math.min(iterations, 10) } = options;
  assertRuns(problem, gpu);
  for (const [name, value] of Object.entries({ steps, innerSteps, iterations, submit }))
    positive(name, value);
  if (firstStep !== undefined && !(Number.isFinite(firstStep) && firstStep > 0))
    throw new ProblemError(`firstStep is ${firstStep}: give a number > 0`);
  const toleranceAt = toleranceOf(tolerance);
  const stepLength = new StepLength(firstStep);
  const count = problem.leaves.hyperLayout.size;
  const loop = await HoagLoop.prepare(problem, { gpu, iterations: submit });
  try {
    loop.begin();
    let scale = 0;
    for (let index = 1; index <= steps; index++) {
      const since = performance.now();
      const epsilon = toleranceAt(index);
      const start = await loop.measure();
      assertSound(start, { index });
      scale ||= start.gradientNorm;
      const inner = await solveInner(loop, {
        index,
        start,
        target: epsilon * scale,
        innerSteps,
        horizon: problem.steps,
      });

      const { outerLoss, solves } = await solveLinear(loop, {
        epsilon,
        submits: Math.ceil(iterations / submit),
      });
      const { hypergradientNorm } = await loop.implicitGradient();
      if (!Number.isFinite(outerLoss)) throw notFinite("the outer loss", index);
      if (!Number.isFinite(hypergradientNorm))
        throw new DivergenceError(unsoundHypergradient([hypergradientNorm], { outerStep: index }), index);

      const failed = solves.some(({ status }) => status === "negative curvature");
      const { length, change } = failed
        ? { length: 0, change: "none" as const }
        : stepLength.next({
            ...{ loss: outerLoss, tolerance: epsilon, slope: hypergradientNorm, count },
            fresh: inner.steps > 0,
          });
      const moved = failed ? 0 : (await loop.move(length)).moved;
      if (!Number.isFinite(moved)) throw notFinite("a hyperparameter", index);
      stepLength.moved(moved, { loss: outerLoss, tolerance: epsilon });
      yield {
        ...{ index, outerLoss, hypergradientNorm, tolerance: epsilon, inner, solves },
        ...{ stepLength: length, change, moved },
        milliseconds: performance.now() - since,
        hyper: () => loop.hyper(),
        parameters: () => loop.parameters(),
        hypergradient: () => loop.hypergradient(),
        memory: loop.memory,
      };
    }
  } finally {
    loop.destroy();
  }
}

type Loop = Pick<HoagLoop<string, string>, "innerSteps" | "solve" | "solveOn">;

/** Inner loops until ‖∇_w L‖ ≤ target. */
async function solveInner(
  loop: Loop,
  options: { index: number; start: Report; target: number; innerSteps: number; horizon: number },
): Promise<InnerSolve> {
  const { index, start, target, innerSteps, horizon } = options;
  // With momentum the gradient may grow for a while.
  const patience = Math.max(5, Math.ceil(100 / horizon));
  let { gradientNorm } = start;
  let best = { gradientNorm, loops: 0 };
  let loops = 0;
  const solved = (status: InnerSolve["status"]) => ({ status, steps: loops * horizon, gradientNorm, target });
  while (gradientNorm > target) {
    if (loops * horizon >= innerSteps) return solved("out of steps");
    if (loops - best.loops >= patience) return solved("stalled");
    const report = await loop.innerSteps();
    const before = loops++ * horizon;
    assertSound(report, { index, before, steps: loops * horizon });
    gradientNorm = report.gradientNorm;
    if (gradientNorm < best.gradientNorm) best = { gradientNorm, loops };
  }
  return solved("converged");
}

/** Conjugate gradients until every lane's solve has come to an end, or for so many submits. */
async function solveLinear(
  loop: Loop,
  { epsilon, submits }: { epsilon: number; submits: number },
): Promise<Report> {
  let report = await loop.solve(epsilon);
  for (let submit = 1; submit < submits && goesOn(report); submit++) report = await loop.solveOn();
  return report;
}

function goesOn({ solves }: Report): boolean {
  return solves.some(({ status, residual }) => status === "out of iterations" && Number.isFinite(residual));
}

/** @throws DivergenceError; of `steps` inner steps, `before` went before those reported. */
function assertSound(
  { diverged, gradientNorm }: Report,
  { index, before = 0, steps = 0 }: { index: number; before?: number; steps?: number },
): void {
  if (diverged !== undefined) {
    const innerStep = before + diverged + 1;
    throw new DivergenceError(
      `the inner problem diverged: a parameter was not finite after inner step ${innerStep} of outer step ${index}. ${remedyFor(innerStep)}, or keep α where it is stable by a constraint`,
      index,
      innerStep,
    );
  }
  if (!Number.isFinite(gradientNorm))
    throw notFinite(`‖∇L‖ after ${steps} inner steps`, index, steps || undefined);
}

function notFinite(what: string, index: number, innerStep?: number): DivergenceError {
  return new DivergenceError(`${what} is not finite at outer step ${index}`, index, innerStep);
}
