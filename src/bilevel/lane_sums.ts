import {
  AFTER,
  type Finish,
  type LaneSum,
  laneSum,
  parts,
  storeParts,
  sumOfParts,
  sumThreads,
} from "../../shaders/lane_sum.ts";
import type { AdapterTraits } from "../../shaders/variants.ts";
import { Block, type Resource } from "../gpu/block.ts";
import { type Access, bindings, type Sequence } from "../gpu/dispatch.ts";

type Bound = readonly [Access, Resource];

export interface RecordedSum {
  readonly label: string;
  readonly lanes: number;
  readonly sum: LaneSum;
  /** What the sum binds. */
  readonly operands: readonly Bound[];
  readonly finish: Finish;
  /** What the finish binds. */
  readonly results: readonly (Bound | undefined)[];
  /** Operations on an element. */
  readonly flops: number;
}

/** What the first kernel of a long sum is called. */
export const inParts = (label: string): string => `${label}, in parts`;

/** Sums over the elements of each lane, the long ones in parts, which stand in memory that all sums of a plan share. */
export class LaneSums {
  readonly #threads: number;
  readonly #memory = new Map<number, Block>();

  constructor(adapter: Pick<AdapterTraits, "kind">) {
    this.#threads = sumThreads(adapter);
  }

  /** Every lane's sum, and what is made of it. */
  record(sequence: Sequence, given: RecordedSum): void {
    const { sum, lanes, flops } = given;
    const sections = parts(sum);
    if (sections === 1) {
      this.#add(sequence, given, 1);
      return;
    }
    const bytes = (sum.type === "vec2f" ? 8 : 4) * sections * lanes;
    const block = this.#memory.get(bytes) ?? new Block("parts of sums", "bookkeeping", bytes);
    this.#memory.set(bytes, block);
    const first = { ...given, finish: storeParts(sum), results: [["overwrite", { block }]] as const };
    this.#add(sequence, { ...first, label: inParts(given.label) }, sections);
    this.record(sequence, {
      ...given,
      sum: sumOfParts(sum),
      operands: [["read", { block }]],
      flops: Math.min(flops, 1),
    });
  }

  #add(
    sequence: Sequence,
    { label, lanes, sum, operands, finish, results, flops }: RecordedSum,
    sections: number,
  ): void {
    const unbound = Array.from({ length: AFTER - operands.length }, () => undefined);
    sequence.add({
      label,
      code: laneSum(sum, finish, this.#threads),
      bindings: bindings(...operands, ...unbound, ...results),
      grid: [sections, 1, lanes],
      flops: flops * sum.count,
      bytes: 4 * operands.length * sum.count * lanes,
    });
  }
}
