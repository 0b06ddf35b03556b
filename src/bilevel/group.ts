import type { View } from "../../shaders/operand.ts";
import { type Shape, size } from "../graph/shape.ts";
import type { Problem } from "./problem.ts";

/** Where a group of α stands in α and in h, which are laid out alike: once, or once for each lane. */
export interface Group {
  readonly shape: Shape;
  /** Elements a lane. */
  readonly count: number;
  readonly view: View;
  /** How often. */
  readonly lanes: number;
}

export function groupOf<H extends string>(
  { leaves, owners }: Pick<Problem<string, H>, "leaves" | "owners">,
  name: H,
): Group {
  const shape = leaves.hyperLayout.shape(name);
  const view = { offset: leaves.hyperLayout.offset(name), lane: leaves.lane.hyper };
  return { shape, count: size(shape), view, lanes: owners };
}
