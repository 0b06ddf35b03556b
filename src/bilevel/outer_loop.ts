import { sumLanes } from "../../shaders/flat.ts";
import { linearGrid } from "../../shaders/operand.ts";
import { Block } from "../gpu/block.ts";
import { Carried } from "../gpu/carried.ts";
import { bindings, Sequence } from "../gpu/dispatch.ts";
import { DivergenceError } from "../gpu/errors.ts";
import { Executable } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { kindOf } from "../gpu/kind.ts";
import { assertKnown } from "../gpu/known.ts";
import { type Advice, assertFits, formatBytes, type MemoryReport } from "../gpu/memory.ts";
import type { DataValues } from "../graph/pixels.ts";
import type { Values } from "../graph/values.ts";
import type { Batches } from "./batches.ts";
import { assertSameRun, type Checkpoint, type Fingerprint, fingerprint } from "./checkpoint.ts";
import { assertEstimator, type Estimator } from "./estimator.ts";
import { groupOf } from "./group.ts";
import { type LogEntry, OuterLog } from "./outer_log.ts";
import type { OuterOptimizer } from "./outer_optimizer.ts";
import { assertRuns, type Problem, ProblemError } from "./problem.ts";
import type { Settings } from "./settings.ts";
import { Unroll } from "./unroll.ts";

export interface OuterLoopOptions<H extends string> {
  readonly gpu: Gpu;
  readonly estimator: Estimator;
  /** One for all groups, or one for each group that is to move; none to only compute hypergradients. */
  readonly optimizer?: OuterOptimizer | Partial<Record<H, OuterOptimizer>>;
  /** Rows of the log: most outer steps between two readbacks. */
  readonly every?: number;
}

/** New data for the names given, of the shapes and types that the problem was stated with. */
export interface TaskData {
  readonly inner?: Readonly<Record<string, DataValues>>;
  readonly outer?: Readonly<Record<string, DataValues>>;
}

interface Parts<H extends string> {
  readonly estimator: Estimator;
  /** Of the groups of α that move. */
  readonly optimizers: readonly (readonly [H, OuterOptimizer])[];
}

/** Inner steps. */
const MANY = 1000;

/** A problem and an estimator made ready to run: planned, allocated, compiled. */
export class OuterLoop<W extends string, H extends string> {
  readonly memory: MemoryReport;
  readonly executable: Executable;
  readonly sequences: { readonly begin: Sequence; readonly main: Sequence; readonly update: Sequence };
  readonly #problem: Problem<W, H>;
  readonly #unroll: Unroll;
  readonly #gradient: Block;
  readonly #batches: { readonly table: Batches; tables: Iterator<Int32Array, never> }[] = [];
  readonly #log: OuterLog;
  /** Outer steps so far, and those of them that the log was read of. */
  #submitted = 0;
  #reported = 0;
  #reshuffles = 0;
  readonly #carried: Carried;
  readonly #parts: Parts<H>;
  #fingerprint: Promise<Fingerprint> | undefined;

  /** @throws MemoryError with numbers and what would fit; ProblemError, ValidationError */
  static async prepare<W extends string, H extends string>(
    problem: Problem<W, H>,
    options: OuterLoopOptions<H>,
  ): Promise<OuterLoop<W, H>> {
    assertKnown("OuterLoop.prepare", options, { gpu: true, estimator: true, optimizer: true, every: true });
    const { gpu, estimator, optimizer, every = 1 } = options;
    assertRuns(problem, gpu);
    assertEstimator(estimator);
    const { leaves, lanes, owners, steps } = problem;
    const unroll = new Unroll(problem, gpu, estimator.slots(steps));
    const { store } = estimator.settings ?? {};
    // So many take long to record; what else the plan takes is not known yet. Stored activations may take the place of states.
    if (steps > MANY && store === undefined)
      assertFits(unroll.vectors.trajectory, gpu.limits, whatFits(unroll.slots, "may fit"));
    estimator.record(unroll);
    const { hyper, hypergradient, lane } = unroll.vectors;
    const count = leaves.hyperLayout.size;
    const shares = lanes > owners;
    const gradient = shares ? new Block("mean h", "gradients", 4 * count) : hypergradient;
    if (shares) {
      unroll.main.add({
        label: "mean over lanes",
        code: sumLanes(count, lanes, { offset: 0, lane: lane.a }, 1 / lanes),
        bindings: bindings(["read", { block: hypergradient }], ["overwrite", { block: gradient }]),
        grid: linearGrid(count),
        flops: count * lanes,
        bytes: 4 * count * (lanes + 1),
      });
    }
    const log = new OuterLog(problem, unroll, every);
    const { progress } = log;
    const update = new Sequence("update");
    const optimizers = byGroup(leaves.hyperLayout.names, optimizer);
    for (const [name, chosen] of optimizers) {
      const group = groupOf(problem, name);
      update.add(chosen.record({ hyper, gradient, progress }, group));
      for (const kernel of problem.constraints[name]?.record(hyper, group) ?? []) update.add(kernel);
    }
    log.record(update, unroll, gradient, count);
    unroll.finish();
    const sequences = { begin: unroll.begin, main: unroll.main, update };
    const advice = whatFits(unroll.slots, "fits", store);
    const executable = await Executable.build(gpu, Object.values(sequences), { readback: log.block, advice });
    const parts = { estimator, optimizers };
    return new OuterLoop(problem, parts, unroll, sequences, executable, gradient, log);
  }

  private constructor(
    problem: Problem<W, H>,
    parts: Parts<H>,
    unroll: Unroll,
    sequences: OuterLoop<W, H>["sequences"],
    executable: Executable,
    gradient: Block,
    log: OuterLog,
  ) {
    this.memory = executable.memory;
    this.executable = executable;
    this.sequences = sequences;
    this.#problem = problem;
    this.#unroll = unroll;
    this.#gradient = gradient;
    this.#log = log;
    this.#parts = parts;
    const { begin, main, update } = sequences;
    this.#carried = new Carried(executable, [
      [begin, main, update],
      [main, update],
    ]);
    for (const { batches } of [problem.inner, problem.outer]) {
      if (batches === undefined) continue;
      const tables = batches.table.tables();
      tables.next(); // It stands in the block from the start.
      this.#batches.push({ table: batches.table, tables });
    }
  }

  /**
   * Submits one outer step: the inner loop (from w_0 when `restart`, else from where it stands), h, and the move
   * of α. Every `every` steps, or when `news` are asked for, the log of the steps since comes back.
   * @throws DivergenceError with the outer and inner step, and the lanes, where a value was first not finite.
   */
  async step({ restart, news = false }: { restart: boolean; news?: boolean }): Promise<LogEntry[]> {
    const { begin, main, update } = this.sequences;
    const run = restart ? [begin, main, update] : [main, update];
    const first = this.#reported;
    this.#submitted++;
    if (this.#submitted - first < this.#log.rows && !news) {
      this.executable.run(...run);
      return [];
    }
    this.#reported = this.#submitted;
    const words = await this.executable.runAndRead(...run);
    try {
      return this.#log.entries(words, first, this.#reported);
    } catch (error) {
      // The next step, from elsewhere, starts with a clean slate.
      const { status } = this.#unroll.vectors;
      if (error instanceof DivergenceError) this.executable.writeIfUsed(status, status.initial!);
      throw error;
    }
  }

  /** α, by group; where each lane has its own, the lane is the first axis. */
  async hyper(): Promise<Record<H, Values>> {
    return await this.#readHyper(this.#unroll.vectors.hyper);
  }

  /** The hypergradient of the last step, by group. */
  async hypergradient(): Promise<Record<H, Values>> {
    return await this.#readHyper(this.#gradient);
  }

  async #readHyper(block: Block): Promise<Record<H, Values>> {
    const { leaves, owners, laneAxis } = this.#problem;
    const stride = this.#unroll.vectors.lane.a;
    const count = (owners - 1) * stride + leaves.hyperLayout.size;
    return leaves.hyperLayout.unpack(
      await this.executable.readFloats(block, 0, count),
      laneAxis.hyper,
      stride,
    );
  }

  /** w_T of the last step; with several lanes, the lane is the first axis. */
  async parameters(): Promise<Record<W, Values>> {
    const { leaves, lanes, laneAxis } = this.#problem;
    const flat = await this.executable.readFloats(
      this.#unroll.vectors.parameters,
      0,
      leaves.lane.parameters * lanes,
    );
    return leaves.parameterLayout.unpack(flat, laneAxis.parameters, leaves.lane.parameters);
  }

  /** Puts α somewhere else; where each lane has its own, values without the lane's axis serve them all. */
  setHyper(hyper: Readonly<Record<H, Values>>): void {
    const { leaves, owners } = this.#problem;
    const { hyper: block, lane } = this.#unroll.vectors;
    this.executable.writeIfUsed(block, leaves.hyperLayout.pack(hyper, owners, lane.a));
  }

  /** Puts w somewhere else: where the next step without `restart` starts. Momentum stays as it is. */
  setParameters(parameters: Readonly<Record<W, Values>>): void {
    const { leaves, lanes } = this.#problem;
    const packed = leaves.parameterLayout.pack(parameters, lanes, leaves.lane.parameters);
    this.executable.writeIfUsed(this.#unroll.vectors.parameters, packed);
  }

  /**
   * Gives the next outer step new data, while the last one may still run: nothing waits.
   * @throws ProblemError, ShapeError for data that the problem was not stated with
   */
  setData(data: TaskData): void {
    if (typeof data !== "object" || data === null)
      throw new ProblemError(`the data of an outer step is ${kindOf(data)}: give { inner, outer }`);
    const stray = Object.keys(data).find((level) => level !== "inner" && level !== "outer");
    if (stray !== undefined)
      throw new ProblemError(`"${stray}" is no level: give { inner, outer }, each with its arrays by name`);
    for (const level of ["inner", "outer"] as const) {
      const { arrays } = this.#problem[level];
      for (const [name, given] of Object.entries(data[level] ?? {})) {
        const array = Object.hasOwn(arrays, name) ? arrays[name] : undefined;
        if (array === undefined) {
          const known = Object.keys(arrays).join(", ") || "none";
          throw new ProblemError(`"${name}" is no data of the ${level} loss; there are ${known}`);
        }
        this.executable.writeIfUsed(array.block, array.pack(given));
      }
    }
  }

  /** Draws new mini-batches for the next outer step. */
  reshuffle(): void {
    this.#reshuffles++;
    for (const { table, tables } of this.#batches)
      this.executable.writeIfUsed(table.block, tables.next().value);
  }

  /**
   * What the outer steps so far leave to the next one. `how` says in words what the caller adds to what a run is.
   * @throws ProblemError while steps are under way whose news are not in
   */
  async save(how: Fingerprint = {}): Promise<Checkpoint> {
    if (this.#reported < this.#submitted) {
      throw new ProblemError(
        `outer step ${this.#submitted} may still run: a checkpoint can be had where its news are in`,
      );
    }
    const [step, reshuffles] = [this.#submitted, this.#reshuffles];
    return { step, reshuffles, of: await this.#identity(how), state: await this.#carried.read() };
  }

  /**
   * Goes back, or on, to where a checkpoint was taken: the next step gives the same bits as the one that followed it.
   * @throws ProblemError for the checkpoint of another run, saying in what it differs
   */
  async restore(checkpoint: Checkpoint, how: Fingerprint = {}): Promise<void> {
    assertSameRun(checkpoint.of, await this.#identity(how));
    this.#carried.write(checkpoint.state);
    this.#submitted = checkpoint.step;
    this.#reported = checkpoint.step;
    this.#reshuffles = checkpoint.reshuffles;
    for (const batches of this.#batches) {
      batches.tables = batches.table.tables();
      let current = batches.tables.next().value;
      for (let k = 0; k < checkpoint.reshuffles; k++) current = batches.tables.next().value;
      this.executable.writeIfUsed(batches.table.block, current);
    }
  }

  async #identity(how: Fingerprint): Promise<Fingerprint> {
    const { estimator, optimizers } = this.#parts;
    this.#fingerprint ??= fingerprint(this.#problem, estimator, optimizers);
    return { ...(await this.#fingerprint), "state carried": String(this.#carried), ...how };
  }

  /** What one outer step dispatches; then the kernels of every program, with shapes, operations and bytes. */
  explain(): string {
    const { begin, main, update } = this.sequences;
    const [first, inner, last] = [begin, main, update].map(({ dispatches }) => dispatches.length);
    const { steps } = this.#unroll;
    return [
      `one outer step: ${first! + inner! + last!} dispatches; ${first} to begin, ${inner} for ${steps} inner steps and the estimator (${(inner! / steps).toFixed(1)} an inner step), ${last} to move α`,
      this.#unroll.explain(),
    ].join("\n");
  }

  destroy(): void {
    this.executable.destroy();
  }
}

/** The optimizer of each group that has one. @throws ProblemError for a group that does not exist. */
export function byGroup<H extends string>(
  names: readonly H[],
  optimizer: OuterLoopOptions<H>["optimizer"] = {},
): [H, OuterOptimizer][] {
  if (isOptimizer(optimizer)) return names.map((name) => [name, optimizer]);
  if (typeof optimizer !== "object" || "prepare" in optimizer) refuse("the outer optimizer", optimizer);
  const chosen: [H, OuterOptimizer][] = [];
  for (const [name, given] of Object.entries<OuterOptimizer | undefined>(optimizer)) {
    if (!names.includes(name as H)) {
      throw new ProblemError(
        `"${name}" has an outer optimizer but is no group of α; those are ${names.join(", ")}`,
      );
    }
    if (given === undefined) continue;
    if (!isOptimizer(given)) refuse(`the outer optimizer of "${name}"`, given);
    chosen.push([name as H, given]);
  }
  return chosen;
}

function isOptimizer(given: unknown): given is OuterOptimizer {
  return (
    typeof given === "object" && given !== null && "record" in given && typeof given.record === "function"
  );
}

/** @throws ProblemError */
function refuse(which: string, given: unknown): never {
  const inner = typeof given === "object" && given !== null && "prepare" in given;
  const what = inner ? "one of the inner loop, which moves w" : kindOf(given);
  throw new ProblemError(`${which} is ${what}: give adam() or gradientDescent()`);
}

/** What to do instead of a plan that stores `slots` states, or what else an estimator's `store` says, and does not fit. */
function whatFits(slots: number, fits: string, store?: Settings[string]): Advice {
  const stored = store === undefined ? "" : `, store: ${JSON.stringify(store)}`;
  return ({ total, trajectory = 0 }, limits) => {
    const rest = total - trajectory;
    const k = trajectory > 0 ? Math.floor(((limits.total ?? rest) - rest) / (trajectory / slots)) : 0;
    return k > 0
      ? `A stored ${store ? "step" : "state"} takes ${formatBytes(trajectory / slots)}: krmd({ k: ${k}${stored} }) ${fits}, and greedy() stores one state at most.`
      : `Without any stored state it is ${formatBytes(rest)}: take fewer examples, mini-batches, or fewer lanes.`;
  };
}
