import { SOLVE_ROW } from "../../shaders/conjugate_gradient.ts";
import { sumLanes } from "../../shaders/flat.ts";
import { hyperStep, REPORT, report, SQUARES } from "../../shaders/hoag.ts";
import { type LaneSum, squaredDistance, squaredLength, store } from "../../shaders/lane_sum.ts";
import { linearGrid, type View } from "../../shaders/operand.ts";
import { groupOf } from "../bilevel/group.ts";
import { type LinearSolve, solveOf } from "../bilevel/linear_solve.ts";
import { type Problem, ProblemError } from "../bilevel/problem.ts";
import { Unroll } from "../bilevel/unroll.ts";
import { SOUND } from "../bilevel/vectors.ts";
import { ConjugateGradients } from "../estimators/conjugate_gradients.ts";
import { assertMinimiser } from "../estimators/implicit.ts";
import { Block } from "../gpu/block.ts";
import { bindings, type Entry, type Sequence } from "../gpu/dispatch.ts";
import { Executable } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { MemoryReport } from "../gpu/memory.ts";
import type { Values } from "../graph/values.ts";

/** What the GPU tells after each submit; what the submit did not compute is as it was. */
export interface Report {
  /** Index of the first inner step after which a parameter was not finite. */
  readonly diverged: number | undefined;
  /** E, the mean over lanes. */
  readonly outerLoss: number;
  /** ‖∇_w L(w)‖, the largest of the lanes. */
  readonly gradientNorm: number;
  readonly solves: readonly LinearSolve[];
  /** ‖h‖ */
  readonly hypergradientNorm: number;
  /** ‖Δα‖ of the last move. */
  readonly moved: number;
}

/** The parts of HOAG's outer step, each a submit of its own, as the host decides how often one is needed. */
export class HoagLoop<W extends string, H extends string> {
  readonly memory: MemoryReport;
  readonly #problem: Problem<W, H>;
  readonly #unroll: Unroll;
  readonly #blocks: Blocks;
  readonly #parts: Parts;
  readonly #executable: Executable;

  /**
   * `iterations` of conjugate gradients a submit.
   * @throws MemoryError, ProblemError, ValidationError
   */
  static async prepare<W extends string, H extends string>(
    problem: Problem<W, H>,
    { gpu, iterations }: { gpu: Gpu; iterations: number },
  ): Promise<HoagLoop<W, H>> {
    const unroll = new Unroll(problem, gpu, 0);
    assertMinimiser(unroll, "hoag");
    if (problem.inner.batches || problem.outer.batches) {
      throw new ProblemError(
        "the problem has mini-batches: hoag solves the inner problem to a tolerance, which takes the whole gradient. Leave batch out",
      );
    }
    if (problem.owners > 1) {
      throw new ProblemError(
        "each lane has an α of its own: hoag adapts one step length, so give all lanes one α, or run them one by one",
      );
    }
    const blocks = blocksOf(problem, unroll);
    const parts = record(problem, unroll, blocks, iterations);
    unroll.finish();
    const executable = await Executable.build(gpu, Object.values(parts), {
      readback: blocks.report,
      advice: () => "Take fewer examples, or fewer lanes: no states are stored here.",
    });
    return new HoagLoop(problem, unroll, blocks, parts, executable);
  }

  private constructor(
    problem: Problem<W, H>,
    unroll: Unroll,
    blocks: Blocks,
    parts: Parts,
    executable: Executable,
  ) {
    this.memory = executable.memory;
    this.#problem = problem;
    this.#unroll = unroll;
    this.#blocks = blocks;
    this.#parts = parts;
    this.#executable = executable;
  }

  /** w ← w_0. */
  begin(): void {
    this.#executable.run(this.#parts.begin);
  }

  /** ∇_w L at w. */
  async measure(): Promise<Report> {
    return await this.#run("prelude", "measure");
  }

  /** T inner steps, and ∇_w L at the new w. */
  async innerSteps(): Promise<Report> {
    return await this.#run("prelude", "inner", "measure");
  }

  /** E at w, and the first iterations on H q = ∇_w E, from the last q on; right after `measure` or `innerSteps`. */
  async solve(tolerance: number): Promise<Report> {
    this.#executable.write(this.#blocks.tolerance, Float32Array.of(tolerance));
    return await this.#run("solve", "iterate");
  }

  /** More iterations. */
  async solveOn(): Promise<Report> {
    return await this.#run("iterate");
  }

  /** h ← ∇_α E - H_αw q. */
  async implicitGradient(): Promise<Report> {
    return await this.#run("hypergradient");
  }

  /** α ← the point of its constraints that is nearest to α - `length` h. */
  async move(length: number): Promise<Report> {
    this.#executable.write(this.#blocks.length, Float32Array.of(length));
    return await this.#run("move");
  }

  async #run(...names: (keyof Parts)[]): Promise<Report> {
    const parts = [...names.map((name) => this.#parts[name]), this.#parts.report];
    return reportOf(await this.#executable.runAndRead(...parts), this.#problem.lanes);
  }

  /** α, by group. */
  async hyper(): Promise<Record<H, Values>> {
    return await this.#readHyper(this.#unroll.vectors.hyper);
  }

  /** h, by group. */
  async hypergradient(): Promise<Record<H, Values>> {
    return await this.#readHyper(this.#blocks.gradient);
  }

  async #readHyper(block: Block): Promise<Record<H, Values>> {
    const { leaves, laneAxis } = this.#problem;
    const flat = await this.#executable.readFloats(block, 0, leaves.hyperLayout.size);
    return leaves.hyperLayout.unpack(flat, laneAxis.hyper);
  }

  /** w; with several lanes, the lane is the first axis. */
  async parameters(): Promise<Record<W, Values>> {
    const { leaves, lanes, laneAxis } = this.#problem;
    const lane = leaves.lane.parameters;
    const flat = await this.#executable.readFloats(this.#unroll.vectors.parameters, 0, lane * lanes);
    return leaves.parameterLayout.unpack(flat, laneAxis.parameters, lane);
  }

  destroy(): void {
    this.#executable.destroy();
  }
}

type Blocks = ReturnType<typeof blocksOf>;
type Parts = ReturnType<typeof record>;

function blocksOf({ leaves, lanes }: Problem, { vectors }: Unroll) {
  const count = leaves.hyperLayout.size;
  return {
    tolerance: new Block("ε", "bookkeeping", 4),
    length: new Block("step length", "bookkeeping", 4),
    squares: new Block("squared norms", "bookkeeping", 4 * (SQUARES.lanes + lanes)),
    report: new Block("report", "bookkeeping", 4 * (REPORT.head + REPORT.lane * lanes)),
    before: new Block("α before", "hyperparameters", 4 * count),
    gradient: lanes === 1 ? vectors.hypergradient : new Block("mean h", "gradients", 4 * count),
  };
}

function record(problem: Problem, unroll: Unroll, blocks: Blocks, iterations: number) {
  const { leaves, lanes, steps, constraints } = problem;
  const { hyper, gradient, hypergradient, lane, status } = unroll.vectors;
  const { hyperLayout } = leaves;
  const count = hyperLayout.size;
  const flat: View = { offset: 0, lane: 0 };
  const conjugate = new ConjugateGradients(unroll, { tolerance: blocks.tolerance, warm: true });
  const kernel = (label: string, elements: number, code: string, list: readonly Entry[]) =>
    unroll.main.add({
      label,
      code,
      bindings: bindings(...list),
      grid: linearGrid(elements),
      flops: 2 * elements,
      bytes: 12 * elements,
    });

  /** Of vectors like α. */
  const square = (label: string, sum: LaneSum, index: number, ...of: Block[]) =>
    unroll.vectors.sums.record(unroll.main, {
      ...{ label, lanes: 1, sum, flops: 2 },
      operands: of.map((block) => ["read", { block }]),
      finish: store(index),
      results: [["write", { block: blocks.squares }]],
    });

  const measure = unroll.part("measure", () => {
    unroll.innerGradient();
    const { count: weights, view } = unroll.flat;
    unroll.sum({
      label: "squared norm",
      sum: squaredLength(weights, view),
      operands: [["read", { block: gradient }]],
      finish: store(SQUARES.lanes),
      results: [["write", { block: blocks.squares }]],
      flops: 2,
    });
  });
  const inner = unroll.part("inner steps", () => {
    for (let t = 1; t <= steps; t++) unroll.innerStep(t, { store: false });
  });
  const solve = unroll.part("begin solve", () => {
    unroll.outerValue({ gradient: true, direct: "set" });
    conjugate.begin();
  });
  const iterate = unroll.part("solve", () => conjugate.iterate(iterations));
  const implicitGradient = unroll.part("hypergradient", () => {
    const product = unroll.frozenProduct(conjugate.q, { parameters: false, hyper: "open" });
    unroll.addMixed(steps, { factor: -1 }, product);
    if (lanes > 1) {
      kernel("mean over lanes", count, sumLanes(count, lanes, { offset: 0, lane: lane.a }, 1 / lanes), [
        ["read", { block: hypergradient }],
        ["write", { block: blocks.gradient }],
      ]);
    }
    square("squared norm", squaredLength(count, flat), SQUARES.hypergradient, blocks.gradient);
  });
  const move = unroll.part("move", () => {
    kernel("outer step", count, hyperStep(count), [
      ["write", { block: hyper }],
      ["read", { block: blocks.gradient }],
      ["read", { block: blocks.length }],
      ["write", { block: blocks.before }],
    ]);
    for (const name of hyperLayout.names) {
      for (const projection of constraints[name]?.record(hyper, groupOf(problem, name)) ?? [])
        unroll.main.add(projection);
    }
    square("squared move", squaredDistance(count, flat), SQUARES.move, hyper, blocks.before);
  });
  const gather = unroll.part("report", () =>
    kernel("report", 1, report(lanes), [
      ["read", { block: status }],
      ["read", { block: blocks.squares }],
      ["read", { block: unroll.outerLoss }],
      ["read", { block: conjugate.solves }],
      ["write", { block: blocks.report }],
    ]),
  );
  return {
    ...{ begin: unroll.begin, prelude: unroll.main, measure, inner, solve, iterate },
    ...{ hypergradient: implicitGradient, move, report: gather },
  } satisfies Record<string, Sequence>;
}

function reportOf(bytes: ArrayBuffer, lanes: number): Report {
  const [words, floats] = [new Uint32Array(bytes), new Float32Array(bytes)];
  const rows = Array.from({ length: lanes }, (_, lane) => {
    const row = REPORT.head + REPORT.lane * lane;
    const solve = row + REPORT.lane - SOLVE_ROW;
    return {
      loss: floats[row]!,
      squaredGradient: floats[row + 1]!,
      solve: solveOf(words.subarray(solve), floats.subarray(solve)),
    };
  });
  return {
    diverged: words[0] === SOUND ? undefined : words[0],
    outerLoss: rows.reduce((sum, { loss }) => sum + loss, 0) / lanes,
    gradientNorm: Math.sqrt(Math.max(...rows.map(({ squaredGradient }) => squaredGradient))),
    solves: rows.map(({ solve }) => solve),
    hypergradientNorm: Math.sqrt(floats[1]!),
    moved: Math.sqrt(floats[2]!),
  };
}
