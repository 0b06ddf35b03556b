import type { View } from "../../shaders/operand.ts";
import { type Prologue, reading } from "../../shaders/prologue.ts";
import type { Resource } from "../gpu/block.ts";
import type { Entry } from "../gpu/dispatch.ts";

/** A prologue with what it binds from binding 0 on, and what it costs. */
export interface BoundPrologue extends Prologue {
  readonly bound: readonly Entry[];
  /** Its operations, for people. */
  readonly names: readonly string[];
  /** In each lane. */
  readonly flops: number;
  /** In all lanes. */
  readonly bytes: number;
}

/** No vector is taken. */
export const nothing: BoundPrologue = {
  ...{ chain: { leaves: [], operations: [] }, half: "primal" },
  ...{ bound: [], names: [], flops: 0, bytes: 0 },
};

/** `count` elements in each of some lanes, read as they are. */
export const readingOf = (
  resource: Resource,
  { view, count, lanes }: { readonly view: View; readonly count: number; readonly lanes: number },
): BoundPrologue => ({
  ...reading(view),
  bound: [["read", resource], undefined],
  names: [],
  flops: 0,
  bytes: 4 * count * lanes,
});
