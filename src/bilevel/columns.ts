import { fill } from "../../shaders/copy.ts";
import { linearGrid } from "../../shaders/operand.ts";
import { Block } from "../gpu/block.ts";
import { bindings, type Sequence } from "../gpu/dispatch.ts";
import type { Tangents } from "./inner_optimizer.ts";

/**
 * Vectors like w that are tangents at one and the same point, or of each lane's: [column][lane][lane stride], the lanes
 * of one program.
 */
export class Columns implements Tangents {
  readonly count: number;
  /** Elements from one column to the next, of vectors like w and of vectors like α. */
  readonly lane: { readonly w: number; readonly a: number };
  /** ẇ */
  readonly parameters: Block;
  /** α̇: column c is the unit vector of element c, in every lane. */
  readonly hyper: Block | undefined;
  /** H_ww ẇ + H_wα α̇ */
  readonly gradient: Block;
  /** Of the inner optimizer's state, for a Jacobian of the inner loop. */
  readonly state: Block | undefined;
  readonly #lanes: number;
  readonly #hyperSize: number;

  /** `count` in each of `lanes`; `hyperSize`: elements of α, or 0 for tangents in w alone. */
  constructor(
    { count, lanes }: { count: number; lanes: number },
    lane: Columns["lane"],
    hyperSize: number,
    state?: Block,
  ) {
    this.count = count;
    this.#lanes = lanes;
    this.state = state;
    this.lane = lane;
    this.#hyperSize = hyperSize;
    this.parameters = new Block("ẇ", "adjoint", 4 * lane.w * count * lanes);
    this.gradient = new Block("tangents of ∇L", "adjoint", 4 * lane.w * count * lanes);
    this.hyper = hyperSize > 0 ? new Block("α̇", "adjoint", 4 * lane.a * count * lanes) : undefined;
  }

  /** α̇ ← the identity. */
  clearHyper(sequence: Sequence): void {
    if (this.hyper) this.#identity(sequence, this.hyper, this.#hyperSize, this.lane.a, 0);
  }

  /** ẇ ← dw_0/dα: zero, but for the elements of α from `start` on, which are w_0 itself; `size` elements. */
  clearParameters(sequence: Sequence, size: number, start: number | undefined): void {
    this.#identity(sequence, this.parameters, size, this.lane.w, start);
  }

  /** Element i of column c ← 1 where c = first + i, else 0. */
  #identity(sequence: Sequence, block: Block, size: number, lane: number, first: number | undefined): void {
    const value = first === undefined ? 0 : `select(0.0, 1.0, lane / ${this.#lanes}u == i + ${first}u)`;
    sequence.add({
      label: "fill",
      code: fill(value, size, { primal: { offset: 0, lane } }),
      bindings: bindings(["overwrite", { block }]),
      grid: linearGrid(size, this.count * this.#lanes),
      flops: 0,
      bytes: 4 * size * this.count * this.#lanes,
    });
  }
}
