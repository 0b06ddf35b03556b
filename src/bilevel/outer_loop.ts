import { sumLanes } from "../../shaders/flat.ts";
import { linearGrid } from "../../shaders/operand.ts";
import { LOG_ROW, outerLog } from "../../shaders/outer_step.ts";
import { align, Block } from "../gpu/block.ts";
import { bindings, Sequence } from "../gpu/dispatch.ts";
import { DivergenceError } from "../gpu/errors.ts";
import { Executable } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { formatBytes, type MemoryReport } from "../gpu/memory.ts";
import { Readback } from "../gpu/readback.ts";
import { size } from "../graph/shape.ts";
import type { Values } from "../graph/values.ts";
import type { Estimator } from "./estimator.ts";
import type { OuterOptimizer } from "./outer_optimizer.ts";
import type { Problem } from "./problem.ts";
import { Unroll } from "./unroll.ts";
import { SOUND } from "./vectors.ts";

export interface OuterLoopOptions<H extends string> {
  readonly gpu: Gpu;
  readonly estimator: Estimator;
  /** One for all groups, or one for each group that is to move; none to only compute hypergradients. */
  readonly optimizer?: OuterOptimizer | Partial<Record<H, OuterOptimizer>>;
  /** Rows of the log: outer steps between two readbacks. */
  readonly every?: number;
}

/** What is known of one finished outer step. */
export interface LogEntry {
  /** E(w_T, α) before α moved; the mean over lanes. */
  readonly outerLoss: number;
  /** ‖h‖ */
  readonly hypergradientNorm: number;
}

/** A problem and an estimator made ready to run: planned, allocated, compiled. */
export class OuterLoop<W extends string, H extends string> {
  readonly memory: MemoryReport;
  readonly executable: Executable;
  readonly sequences: { readonly begin: Sequence; readonly main: Sequence; readonly update: Sequence };
  readonly #problem: Problem<W, H>;
  readonly #unroll: Unroll;
  readonly #gradient: Block;
  readonly #readback: Readback;
  readonly #every: number;
  #finished = 0;

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
    const log = new Block("log", "bookkeeping", 4 * LOG_ROW * every);
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
    for (const name of leaves.hyperLayout.names) {
      const chosen = optimizer && ("record" in optimizer ? (optimizer as OuterOptimizer) : optimizer[name]);
      const range = [size(leaves.hyperLayout.shape(name)), leaves.hyperLayout.offset(name)] as const;
      if (chosen) update.add(chosen.record({ hyper: unroll.vectors.hyper, gradient, progress }, ...range));
    }
    update.add({
      label: "log",
      code: outerLog(lanes, count, every),
      bindings: bindings(
        ["read", { block: unroll.outerLoss }],
        ["read", { block: gradient }],
        ["read", { block: unroll.vectors.status }],
        ["write", { block: progress }],
        ["write", { block: log }],
      ),
      grid: [1, 1, 1],
      flops: 2 * count,
      bytes: 4 * count,
    });
    unroll.finish();
    const sequences = { begin: unroll.begin, main: unroll.main, update };
    const advice = () => {
      const state = 4 * leaves.lane.parameters * lanes;
      return `The trajectory takes ${formatBytes(state)} a step: choose krmd({ k }) with a smaller k, or greedy(), whose memory does not grow with the ${steps} steps.`;
    };
    const executable = await Executable.build(gpu, Object.values(sequences), advice);
    return new OuterLoop(problem, unroll, sequences, executable, gradient, new Readback(gpu, log), every);
  }

  private constructor(
    problem: Problem<W, H>,
    unroll: Unroll,
    sequences: OuterLoop<W, H>["sequences"],
    executable: Executable,
    gradient: Block,
    readback: Readback,
    every: number,
  ) {
    this.memory = executable.memory;
    this.executable = executable;
    this.sequences = sequences;
    this.#problem = problem;
    this.#unroll = unroll;
    this.#gradient = gradient;
    this.#readback = readback;
    this.#every = every;
  }

  /**
   * Submits one outer step: the inner loop (from w_0 when `restart`, else from where it stands), h, and the move
   * of α. Every `every` steps the log of the steps since comes back.
   * @throws DivergenceError with the outer and inner step where a value was first not finite.
   */
  async step({ restart }: { restart: boolean }): Promise<LogEntry[]> {
    const { begin, main, update } = this.sequences;
    const run = restart ? [begin, main, update] : [main, update];
    this.#finished++;
    if (this.#finished % this.#every !== 0) {
      this.executable.run(...run);
      return [];
    }
    const words = await this.executable.runAndRead(this.#readback, ...run);
    return this.#entries(words);
  }

  #entries(words: ArrayBuffer): LogEntry[] {
    const floats = new Float32Array(words);
    const status = new Uint32Array(words);
    return Array.from({ length: this.#every }, (_, index) => {
      const row = index * LOG_ROW;
      const outerStep = this.#finished - this.#every + index + 1;
      const [outerLoss, squared, inner] = [floats[row]!, floats[row + 1]!, status[row + 2]!];
      if (inner !== SOUND) {
        throw new DivergenceError(
          `the inner loop diverged: a parameter was not finite after inner step ${inner + 1} of outer step ${outerStep}. Lower the inner learning rate`,
          outerStep,
          inner + 1,
        );
      }
      if (!Number.isFinite(outerLoss) || !Number.isFinite(squared)) {
        const what = Number.isFinite(outerLoss) ? "the hypergradient" : "the outer loss";
        throw new DivergenceError(`${what} is not finite at outer step ${outerStep}`, outerStep);
      }
      return { outerLoss, hypergradientNorm: Math.sqrt(squared) };
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
    for (const { batches } of [this.#problem.inner, this.#problem.outer]) {
      if (batches) this.executable.writeIfUsed(batches.table.block, batches.table.draw());
    }
  }

  /** The kernels of every program, with shapes, operations and bytes. */
  explain(): string {
    return this.#unroll.explain();
  }

  destroy(): void {
    this.#readback.destroy();
    this.executable.destroy();
  }
}
