import { SOLVE_ROW } from "../../shaders/conjugate_gradient.ts";
import { sumLanes } from "../../shaders/flat.ts";
import { linearGrid } from "../../shaders/operand.ts";
import { LOG_ROW, outerLog } from "../../shaders/outer_step.ts";
import { align, Block } from "../gpu/block.ts";
import { bindings, Sequence } from "../gpu/dispatch.ts";
import { DivergenceError } from "../gpu/errors.ts";
import { Executable } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Advice, formatBytes, type MemoryReport } from "../gpu/memory.ts";
import { size } from "../graph/shape.ts";
import type { Values } from "../graph/values.ts";
import type { Estimator } from "./estimator.ts";
import { type LinearSolve, solveOf } from "./linear_solve.ts";
import type { OuterOptimizer } from "./outer_optimizer.ts";
import { type Problem, ProblemError } from "./problem.ts";
import { Unroll } from "./unroll.ts";
import { SOUND } from "./vectors.ts";

export interface OuterLoopOptions<H extends string> {
  readonly gpu: Gpu;
  readonly estimator: Estimator;
  /** One for all groups, or one for each group that is to move; none to only compute hypergradients. */
  readonly optimizer?: OuterOptimizer | Partial<Record<H, OuterOptimizer>>;
  /** Rows of the log: most outer steps between two readbacks. */
  readonly every?: number;
}

/** What is known of one finished outer step. */
export interface LogEntry {
  /** E(w_T, α) before α moved; the mean over lanes. */
  readonly outerLoss: number;
  /** ‖h‖ */
  readonly hypergradientNorm: number;
  /** How the linear solve of each lane ended, with an estimator that has one. */
  readonly solves?: readonly LinearSolve[];
}

/** A problem and an estimator made ready to run: planned, allocated, compiled. */
export class OuterLoop<W extends string, H extends string> {
  readonly memory: MemoryReport;
  readonly executable: Executable;
  readonly sequences: { readonly begin: Sequence; readonly main: Sequence; readonly update: Sequence };
  readonly #problem: Problem<W, H>;
  readonly #unroll: Unroll;
  readonly #gradient: Block;
  readonly #batches: { block: Block; tables: Iterator<Int32Array, never> }[] = [];
  readonly #every: number;
  /** Outer steps so far, and those of them that the log was read of. */
  #submitted = 0;
  #reported = 0;

  /** @throws MemoryError with numbers and what would fit; ProblemError, ValidationError */
  static async prepare<W extends string, H extends string>(
    problem: Problem<W, H>,
    { gpu, estimator, optimizer, every = 1 }: OuterLoopOptions<H>,
  ): Promise<OuterLoop<W, H>> {
    const { leaves, lanes, steps } = problem;
    const unroll = new Unroll(problem, gpu, estimator.slots(steps));
    estimator.record(unroll);
    const count = leaves.hyperLayout.size;
    const gradient = lanes === 1 ? unroll.vectors.hypergradient : new Block("mean h", "gradients", 4 * count);
    const progress = new Block("progress", "bookkeeping", 4);
    const extra = unroll.solve === undefined ? 0 : SOLVE_ROW * lanes;
    const log = new Block("log", "bookkeeping", 4 * (LOG_ROW + extra) * every);
    if (lanes > 1) {
      unroll.main.add({
        label: "mean over lanes",
        code: sumLanes(count, lanes, { offset: 0, lane: align(count, 4) }, 1 / lanes),
        bindings: bindings(["read", { block: unroll.vectors.hypergradient }], ["write", { block: gradient }]),
        grid: [...linearGrid(count), 1],
        flops: count * lanes,
        bytes: 4 * count * (lanes + 1),
      });
    }
    const update = new Sequence("update");
    for (const [name, chosen] of byGroup(leaves.hyperLayout.names, optimizer)) {
      const { hyper } = unroll.vectors;
      const [shape, offset] = [leaves.hyperLayout.shape(name), leaves.hyperLayout.offset(name)];
      update.add(chosen.record({ hyper, gradient, progress }, size(shape), offset));
      for (const kernel of problem.constraints[name]?.record(hyper, shape, offset) ?? []) update.add(kernel);
    }
    update.add({
      label: "log",
      code: outerLog(lanes, count, every, extra),
      bindings: bindings(
        ["read", { block: unroll.outerLoss }],
        ["read", { block: gradient }],
        ["read", { block: unroll.vectors.status }],
        ["write", { block: progress }],
        ["write", { block: log }],
        unroll.solve && ["read", { block: unroll.solve }],
      ),
      grid: [1, 1, 1],
      flops: 2 * count,
      bytes: 4 * count,
    });
    unroll.finish();
    const sequences = { begin: unroll.begin, main: unroll.main, update };
    const advice = whatFits(unroll.slots);
    const executable = await Executable.build(gpu, Object.values(sequences), { readback: log, advice });
    return new OuterLoop(problem, unroll, sequences, executable, gradient, every);
  }

  private constructor(
    problem: Problem<W, H>,
    unroll: Unroll,
    sequences: OuterLoop<W, H>["sequences"],
    executable: Executable,
    gradient: Block,
    every: number,
  ) {
    this.memory = executable.memory;
    this.executable = executable;
    this.sequences = sequences;
    this.#problem = problem;
    this.#unroll = unroll;
    this.#gradient = gradient;
    this.#every = every;
    for (const { batches } of [problem.inner, problem.outer]) {
      if (batches === undefined) continue;
      const tables = batches.table.tables();
      tables.next(); // It stands in the block from the start.
      this.#batches.push({ block: batches.table.block, tables });
    }
  }

  /**
   * Submits one outer step: the inner loop (from w_0 when `restart`, else from where it stands), h, and the move
   * of α. Every `every` steps, or when `news` are asked for, the log of the steps since comes back.
   * @throws DivergenceError with the outer and inner step where a value was first not finite.
   */
  async step({ restart, news = false }: { restart: boolean; news?: boolean }): Promise<LogEntry[]> {
    const { begin, main, update } = this.sequences;
    const run = restart ? [begin, main, update] : [main, update];
    const first = this.#reported;
    this.#submitted++;
    if (this.#submitted - first < this.#every && !news) {
      this.executable.run(...run);
      return [];
    }
    this.#reported = this.#submitted;
    const words = await this.executable.runAndRead(...run);
    return this.#entries(words, first, this.#reported);
  }

  /** What the log says of the outer steps after `first` up to `last`. */
  #entries(words: ArrayBuffer, first: number, last: number): LogEntry[] {
    const floats = new Float32Array(words);
    const status = new Uint32Array(words);
    const lanes = this.#unroll.solve === undefined ? 0 : this.#problem.lanes;
    const rowWords = LOG_ROW + SOLVE_ROW * lanes;
    return Array.from({ length: last - first }, (_, index) => {
      const row = ((first + index) % this.#every) * rowWords;
      const outerStep = first + index + 1;
      const [outerLoss, squared, inner] = [floats[row]!, floats[row + 1]!, status[row + 2]!];
      if (inner !== SOUND) {
        const { range } = this.#unroll;
        const [what, more] =
          range === undefined
            ? ["was not finite", ""]
            : [`left the range of reversible({ range: ${range} })`, ", or give a larger range"];
        throw new DivergenceError(
          `the inner loop diverged: a parameter ${what} after inner step ${inner + 1} of outer step ${outerStep}. Lower the inner learning rate${more}`,
          outerStep,
          inner + 1,
        );
      }
      if (!Number.isFinite(outerLoss) || !Number.isFinite(squared)) {
        const what = Number.isFinite(outerLoss) ? "the hypergradient" : "the outer loss";
        throw new DivergenceError(`${what} is not finite at outer step ${outerStep}`, outerStep);
      }
      const solves = Array.from({ length: lanes }, (_, lane) => {
        const at = row + LOG_ROW + SOLVE_ROW * lane;
        return solveOf(status.subarray(at), floats.subarray(at));
      });
      return { outerLoss, hypergradientNorm: Math.sqrt(squared), ...(lanes > 0 && { solves }) };
    });
  }

  /** α, by group. */
  async hyper(): Promise<Record<H, Values>> {
    return await this.#readHyper(this.#unroll.vectors.hyper);
  }

  /** The hypergradient of the last step, by group. */
  async hypergradient(): Promise<Record<H, Values>> {
    return await this.#readHyper(this.#gradient);
  }

  async #readHyper(block: Block): Promise<Record<H, Values>> {
    const { hyperLayout } = this.#problem.leaves;
    return hyperLayout.unpack(await this.executable.readFloats(block, 0, hyperLayout.size));
  }

  /** w_T of the last step; with several lanes, the lane is the first axis. */
  async parameters(): Promise<Record<W, Values>> {
    const { leaves, lanes } = this.#problem;
    const flat = await this.executable.readFloats(
      this.#unroll.vectors.parameters,
      0,
      leaves.lane.parameters * lanes,
    );
    return leaves.parameterLayout.unpack(flat, lanes === 1 ? undefined : lanes, leaves.lane.parameters);
  }

  /** Puts α somewhere else. */
  setHyper(hyper: Readonly<Record<H, Values>>): void {
    this.executable.writeIfUsed(this.#unroll.vectors.hyper, this.#problem.leaves.hyperLayout.pack(hyper));
  }

  /** Puts w somewhere else: where the next step without `restart` starts. Momentum stays as it is. */
  setParameters(parameters: Readonly<Record<W, Values>>): void {
    const { leaves, lanes } = this.#problem;
    const packed = leaves.parameterLayout.pack(parameters, lanes, leaves.lane.parameters);
    this.executable.writeIfUsed(this.#unroll.vectors.parameters, packed);
  }

  /** Draws new mini-batches for the next outer step. */
  reshuffle(): void {
    for (const { block, tables } of this.#batches) this.executable.writeIfUsed(block, tables.next().value);
  }

  /** The kernels of every program, with shapes, operations and bytes. */
  explain(): string {
    return this.#unroll.explain();
  }

  destroy(): void {
    this.executable.destroy();
  }
}

/** The optimizer of each group that has one. @throws ProblemError for a group that does not exist. */
function byGroup<H extends string>(
  names: readonly H[],
  optimizer: OuterLoopOptions<H>["optimizer"] = {},
): [H, OuterOptimizer][] {
  if (isOptimizer(optimizer)) return names.map((name) => [name, optimizer]);
  const chosen = Object.entries(optimizer) as [H, OuterOptimizer][];
  for (const [name] of chosen) {
    if (names.includes(name)) continue;
    throw new ProblemError(
      `"${name}" has an outer optimizer but is no group of α; those are ${names.join(", ")}`,
    );
  }
  return chosen;
}

function isOptimizer(given: object): given is OuterOptimizer {
  return "record" in given && typeof given.record === "function";
}

/** What to do instead of a plan that stores `slots` states and does not fit. */
function whatFits(slots: number): Advice {
  return ({ total, trajectory = 0 }, limits) => {
    const rest = total - trajectory;
    const k = trajectory > 0 ? Math.floor(((limits.total ?? rest) - rest) / (trajectory / slots)) : 0;
    return k > 0
      ? `A stored state takes ${formatBytes(trajectory / slots)}: krmd({ k: ${k} }) fits, and greedy() stores one state at most.`
      : `Without any stored state it is ${formatBytes(rest)}: take fewer examples, mini-batches, or fewer lanes.`;
  };
}
