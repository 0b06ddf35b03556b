import { ProblemError } from "../gpu/problem_error.ts";
import { elementAt, size } from "./shape.ts";
import { type Tensor, topological } from "./tensor.ts";
import type { Shaped } from "./values.ts";

/** Elements of a leaf, in each lane, that an operation indexes with: whole numbers from 0 on that are less than `below`. */
export interface IndexBound {
  readonly offset: number;
  readonly count: number;
  readonly below: number;
  readonly operation: string;
}

/** What a tensor indexes with on its way from the leaves. */
export function indexBounds(root: Tensor): ReadonlyMap<Tensor, readonly IndexBound[]> {
  const bounds = new Map<Tensor, IndexBound[]>();
  for (const { source } of topological([root])) {
    if (source.kind !== "rule") continue;
    const { integers, below, name } = source.rule;
    const origin = integers !== undefined && below !== undefined && originOf(source.inputs[integers]!);
    if (!origin) continue;
    const { leaf, offset, count } = origin;
    bounds.set(leaf, [...(bounds.get(leaf) ?? []), { offset, count, below, operation: name }]);
  }
  return bounds;
}

/** The elements of a leaf that integers come from; where rows of them are picked, all that could be. */
function originOf(tensor: Tensor): { leaf: Tensor; offset: number; count: number } | undefined {
  const { source } = tensor;
  if (source.kind === "leaf") return { leaf: tensor, offset: 0, count: tensor.size };
  if (source.kind === "view") {
    const base = originOf(source.base);
    return base?.leaf === source.base ? { ...base, offset: source.offset, count: tensor.size } : base;
  }
  const picked = source.kind === "rule" ? source.inputs[0] : undefined;
  return picked?.dtype === "i32" ? originOf(picked) : undefined;
}

/** @throws ProblemError naming the first element that is out of bounds; each lane has `lane` elements */
export function assertWithin(
  name: string,
  { data, shape }: Shaped,
  bounds: readonly IndexBound[],
  lane: number,
): void {
  for (const { offset, count, below, operation } of bounds) {
    for (let start = offset; start < size(shape); start += lane) {
      for (let i = start; i < start + count; i++) {
        const index = data[i]!;
        if (index >= 0 && index < below) continue;
        throw new ProblemError(
          `${name} is ${index} at ${elementAt(shape, i)}: ${operation} takes 0 to ${below - 1} there, counted from 0`,
        );
      }
    }
  }
}
