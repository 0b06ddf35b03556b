import { CONTRACTION_LANE } from "../../shaders/contraction.ts";
import { fill, stridedCopy } from "../../shaders/copy.ts";
import { accumulate, addTo } from "../../shaders/flat.ts";
import { dot } from "../../shaders/lane_sum.ts";
import { linearGrid, type View } from "../../shaders/operand.ts";
import type { FlatKernel, Prologue } from "../../shaders/prologue.ts";
import { align, Block, OFFSET_ALIGNMENT, type Resource, type Role } from "../gpu/block.ts";
import { bindings, type Entry, type Sequence } from "../gpu/dispatch.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { nothing } from "../graph/bound_prologue.ts";
import type { InnerKernels, RingMaker } from "./inner_optimizer.ts";
import { LaneSums } from "./lane_sums.ts";
import type { Problem } from "./problem.ts";
import { type Coefficient, coefficientOf } from "./rate.ts";
import { type AtHand, type Supply, standing } from "./supply.ts";
import { Trajectory } from "./trajectory.ts";

/** y ← decay y + factor x, with `rate` decay y + factor η_t x, with its inverse decay y + factor / η_t x. */
export interface Weights {
  /** A number, or a block that holds one, `CONTRACTION_LANE` elements a lane. */
  readonly decay?: number | Block;
  readonly factor?: number;
  readonly rate?: boolean | "inverse";
}

/** The most storage buffers that a sum into a vector binds, beside those of what it takes. */
export const ACCUMULATE_BUFFERS = 3;

/** A kernel behind a prologue. */
interface Taking {
  readonly label: string;
  readonly count: number;
  readonly touched: number;
  readonly atHand?: AtHand;
  readonly kernel: (prologue: Prologue) => FlatKernel;
  readonly list: readonly Entry[];
}

/** No inner step diverged. */
export const SOUND = 0xffff_ffff;

/**
 * The flat vectors of an unroll, a lane each, and the kernels that need nothing else: the optimizer's step, its
 * adjoint, sums and inner products. Every method appends dispatches to a sequence.
 */
export class Vectors {
  /** w */
  readonly parameters: Block;
  /** α, which all lanes share or each has its own of. */
  readonly hyper: Block;
  /** h */
  readonly hypergradient: Block;
  /** ∇_w L */
  readonly gradient: Block;
  /** p: first the outer gradient g, then the adjoint of w. */
  readonly adjoint: Block;
  /** r */
  readonly direction: Block;
  /** H_ww r */
  readonly curvature: Block;
  /** H_αw r */
  readonly mixed: Block;
  /** ∇_α E, held to be added to h later. */
  readonly direct: Block;
  /** Of each lane the index of the first inner step after which a parameter was not finite, or SOUND. */
  readonly status: Block;
  /** Stored w_{t-1}. */
  readonly storedParameters: Trajectory;
  readonly optimizer: InnerKernels;
  /** All that is stored of states. */
  readonly trajectory: Block[] = [];
  readonly sums: LaneSums;
  /** Elements from one lane to the next, of vectors like w and of vectors like α. */
  readonly lane: { readonly w: number; readonly a: number };
  readonly #initial: Block;
  readonly #table: Block;
  readonly #problem: Problem;

  /** `slots` states are stored. */
  constructor(problem: Problem, slots: number, { device, traits }: Gpu) {
    const { leaves, lanes, owners, steps, optimizer } = problem;
    this.#problem = problem;
    this.sums = new LaneSums(traits);
    this.status = new Block("status", "bookkeeping", 4 * lanes, new Uint32Array(lanes).fill(SOUND));
    const w = leaves.lane.parameters;
    const a = align(leaves.hyperLayout.size, 4);
    this.lane = { w, a };
    const block = (label: string, role: Role, lane: number) => new Block(label, role, 4 * lane * lanes);
    this.parameters = block("w", "parameters", w);
    this.#initial = block("w_0", "parameters", w);
    this.#initial.initial = leaves.parameterLayout.pack(problem.parameters, lanes, w);
    const hyper = leaves.hyperLayout.pack(problem.hyper, owners, a);
    this.hyper = new Block("α", "hyperparameters", hyper.byteLength, hyper);
    this.gradient = block("∇L", "gradients", w);
    this.hypergradient = block("h", "gradients", a);
    this.direct = block("∇_α E", "gradients", a);
    this.mixed = block("H_αw r", "gradients", a);
    this.adjoint = block("p", "adjoint", w);
    this.direction = block("r", "adjoint", w);
    this.curvature = block("H_ww r", "adjoint", w);

    const ring: RingMaker = (label, vectors = 1) => {
      const made = new Trajectory(
        label,
        Math.max(slots, 1),
        4 * w * lanes * vectors,
        device.limits.maxBufferSize,
      );
      this.trajectory.push(...made.blocks);
      return made;
    };
    this.storedParameters = ring("w");

    const words = OFFSET_ALIGNMENT / 4;
    const rows = new Uint32Array(steps * words);
    for (let t = 1; t <= steps; t++) {
      rows[(t - 1) * words] = t - 1;
      new Float32Array(rows.buffer).set(optimizer.constants?.(t) ?? [], (t - 1) * words + 2);
    }
    this.#table = new Block("step table", "bookkeeping", rows.byteLength, rows);
    this.optimizer = optimizer.prepare(problem, this, ring);
  }

  /** w ← w_0, and the optimizer's state ← 0. */
  begin(sequence: Sequence): void {
    const { start, leaves } = this.#problem;
    const count = leaves.parameterLayout.size;
    const to: View = { offset: 0, lane: this.lane.w };
    const from: View =
      start === undefined ? to : { offset: leaves.hyperLayout.offset(start), lane: leaves.lane.hyper };
    const source = start === undefined ? this.#initial : this.hyper;
    const code = stridedCopy(count, "i", "true", { primal: from }, { primal: to });
    this.dispatch(sequence, "copy", count, 2, code, [
      ["read", { block: source }],
      undefined,
      ["overwrite", { block: this.parameters }],
    ]);
    if (this.optimizer.continues) this.#clearState(sequence);
  }

  /** The optimizer's state ← 0, if it starts anew in each inner loop. */
  beginLoop(sequence: Sequence): void {
    if (!this.optimizer.continues) this.#clearState(sequence);
  }

  /** The state's tangent in `columns` directions, and zero. */
  stateTangent(sequence: Sequence, columns: number): Block | undefined {
    const { state } = this.optimizer;
    if (state === undefined) return undefined;
    const block = new Block("state tangent", "adjoint", columns * state.block.bytes);
    this.clear(sequence, block, columns * state.vectors);
    return block;
  }

  /** All of `vectors` vectors like w that stand in a block ← 0. */
  clear(sequence: Sequence, block: Block, vectors = 1): void {
    const { leaves, lanes } = this.#problem;
    const count = leaves.parameterLayout.size;
    this.#clear(sequence, block, count, this.lane.w, vectors * lanes);
  }

  #clearState(sequence: Sequence): void {
    const { state } = this.optimizer;
    if (state) this.clear(sequence, state.block, state.vectors);
  }

  /** A block ← another of the same size. */
  copy(sequence: Sequence, from: Block, to: Block): void {
    const count = from.bytes / 4;
    const whole: View = { offset: 0, lane: 0 };
    const code = stridedCopy(count, "i", "true", { primal: whole }, { primal: whole });
    this.dispatch(
      sequence,
      "copy",
      count,
      2,
      code,
      [["read", { block: from }], undefined, ["overwrite", { block: to }]],
      1,
    );
  }

  /** h ← 0. */
  clearHypergradient(sequence: Sequence): void {
    this.#clear(sequence, this.hypergradient, this.#problem.leaves.hyperLayout.size, this.lane.a);
  }

  /** h ← decay h + weight x, for a vector x like α. */
  addToHypergradient(sequence: Sequence, t: number, x: Supply, weights: Weights = {}): void {
    const to: View = { offset: 0, lane: this.lane.a };
    const count = this.#problem.leaves.hyperLayout.size;
    this.#accumulate(sequence, t, { x, y: this.hypergradient, count, to }, weights);
  }

  /** A vector like w, or like α, that stands in a block. */
  standing(block: Block, like: "w" | "a"): Supply {
    const { leaves, lanes } = this.#problem;
    const layout = like === "w" ? leaves.parameterLayout : leaves.hyperLayout;
    return standing(block, { view: { offset: 0, lane: this.lane[like] }, count: layout.size, lanes });
  }

  /** Another vector like w. */
  vector(label: string): Block {
    return new Block(label, "adjoint", 4 * this.lane.w * this.#problem.lanes);
  }

  /** y ← decay y + weight x, for vectors like w. */
  add(sequence: Sequence, t: number, y: Block, x: Block, weights: Weights): void {
    const to: View = { offset: 0, lane: this.lane.w };
    const count = this.#problem.leaves.parameterLayout.size;
    this.#accumulate(sequence, t, { x: this.standing(x, "w"), y, count, to }, weights);
  }

  /** The group of h that belongs to w_0 += p. */
  addStart(sequence: Sequence): void {
    const { start, leaves, steps } = this.#problem;
    if (start === undefined) return;
    const to: View = { offset: leaves.hyperLayout.offset(start), lane: this.lane.a };
    const count = leaves.parameterLayout.size;
    const x = this.standing(this.adjoint, "w");
    this.#accumulate(sequence, steps, { x, y: this.hypergradient, count, to }, {});
  }

  /** Element `offset` (+ t - 1, if there is one for each step) of h += weight ⟨a, b⟩, for vectors like w. */
  addDot(
    sequence: Sequence,
    t: number,
    a: Block,
    b: Resource,
    { offset, perStep }: { readonly offset: number; readonly perStep: boolean },
    { factor = 1, rate = false }: Weights,
  ): void {
    const flat: View = { offset: 0, lane: this.lane.w };
    const out = { offset, lane: this.lane.a, element: perStep ? "inner.index" : "0u" };
    const views = [flat, flat, out] as const;
    this.#dots(
      sequence,
      t,
      { block: a },
      b,
      views,
      { factor, scale: this.#scale(rate) },
      this.#problem.lanes,
    );
  }

  /** h_c += ⟨p, x_c⟩ in each lane for the columns x_c, laid out as `Columns` are. */
  addColumnDots(sequence: Sequence, x: Block, columns: number): void {
    const { steps, lanes } = this.#problem;
    const { w, a } = this.lane;
    const views = [
      { offset: 0, lane: w, period: lanes },
      { offset: 0, lane: w },
      { offset: 0, lane: a, period: lanes, element: `lane / ${lanes}u` },
    ] as const;
    const once = { factor: 1, scale: this.#scale(false) };
    this.#dots(sequence, steps, { block: this.adjoint }, { block: x }, views, once, columns * lanes);
  }

  #dots(
    sequence: Sequence,
    t: number,
    a: Resource,
    b: Resource,
    [left, right, out]: readonly [View, View, View & { element: string }],
    weight: { factor: number; scale: Coefficient },
    lanes: number,
  ): void {
    this.sums.record(sequence, {
      label: "dot",
      lanes,
      sum: dot(this.#problem.leaves.parameterLayout.size, left, right),
      operands: [
        ["read", a],
        ["read", b],
      ],
      finish: addTo(out, weight),
      results: [
        ["write", { block: this.hypergradient }],
        this.coefficient(weight.scale),
        ["uniform", this.row(t)],
      ],
      flops: 2,
    });
  }

  #accumulate(
    sequence: Sequence,
    t: number,
    { x, y, count, to }: { x: Supply; y: Block; count: number; to: View },
    { decay = 1, factor = 1, rate = false }: Weights,
  ): void {
    const scale = this.#scale(rate);
    const read = decay instanceof Block ? decay : undefined;
    const kept: Coefficient =
      typeof decay === "number" ? { literal: decay } : { view: { offset: 0, lane: CONTRACTION_LANE } };
    this.take(sequence, x, {
      ...{ label: "accumulate", count, touched: 2 },
      kernel: (prologue) => accumulate(count, prologue, to, { decay: kept, factor, scale }),
      list: [
        [decay === 0 ? "overwrite" : "write", { block: y }],
        this.coefficient(scale),
        ["uniform", this.row(t)],
        read && ["read", { block: read }],
      ],
    });
  }

  #clear(sequence: Sequence, block: Block, count: number, lane: number, lanes?: number): void {
    const code = fill(0, count, { primal: { offset: 0, lane } });
    this.dispatch(sequence, "fill", count, 1, code, [["overwrite", { block }]], lanes);
  }

  #scale(rate: boolean | "inverse"): Coefficient {
    if (rate === false) return { literal: 1 };
    return { ...coefficientOf(this.#problem.lr), inverse: rate === "inverse" };
  }

  /** How a kernel binds a coefficient: a learned one is read from α. */
  coefficient({ view }: Coefficient): ["read", Resource] | undefined {
    return view && ["read", { block: this.hyper }];
  }

  /** Step t's row of the step table. */
  row(t: number): Resource {
    return { block: this.#table, offset: OFFSET_ALIGNMENT * (t - 1), size: 16, dynamic: true };
  }

  /**
   * A kernel that takes the elements of a vector; `touched` are the other numbers that it reads or writes for each, and
   * `list` is bound behind what its prologue binds.
   */
  take(
    sequence: Sequence,
    vector: Supply | undefined,
    { label, count, touched, atHand, kernel, list }: Taking,
  ): void {
    const { lanes } = this.#problem;
    sequence.add(() => {
      const prologue = vector?.(atHand) ?? nothing;
      const { code, elements } = kernel(prologue);
      return [
        {
          label: [...prologue.names, label].join(", "),
          code,
          bindings: bindings(...prologue.bound, ...list),
          grid: linearGrid(elements, lanes),
          flops: touched * count + prologue.flops,
          bytes: 4 * touched * count * lanes + prologue.bytes,
        },
      ];
    });
  }

  /** A kernel over `count` elements of each of `lanes` that reads or writes `touched` numbers for each. */
  dispatch(
    sequence: Sequence,
    label: string,
    count: number,
    touched: number,
    code: string,
    list: readonly Entry[],
    lanes = this.#problem.lanes,
  ): void {
    sequence.add({
      label,
      code,
      bindings: bindings(...list),
      grid: linearGrid(count, lanes),
      flops: touched * count,
      bytes: 4 * touched * count * lanes,
    });
  }
}
