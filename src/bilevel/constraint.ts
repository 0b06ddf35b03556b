import { linearGrid } from "../../shaders/operand.ts";
import { clampBetween, type Rows, rowGrid, simplexRows, symmetrize } from "../../shaders/projection.ts";
import type { Block } from "../gpu/block.ts";
import { bindings, type Dispatch, type Grid } from "../gpu/dispatch.ts";
import { assertKnown } from "../gpu/known.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { elementAt, formatShape, normalizeAxis, type Shape, size } from "../graph/shape.ts";
import { partsOf, type Values } from "../graph/values.ts";
import type { Group } from "./group.ts";
import type { Settings } from "./settings.ts";

/** A closed convex set that a group of hyperparameters stays in: each outer step ends at the nearest point of it. */
export interface Constraint {
  readonly name: string;
  /** Decides what may stand beside it on one group; see `together`. */
  readonly kind: "elementwise" | "symmetry" | "alone";
  /** The numbers that it was made with. */
  readonly settings?: Settings;
  /** No element of the set is above. */
  readonly upper?: number | undefined;
  /** Why this group, of one lane, is not in the set, or never can be; undefined when it is. */
  violation(group: Values): string | undefined;
  /** The kernels that move a group to its nearest point of the set, in each lane. */
  record(hyper: Block, group: Group): Dispatch[];
}

/** What a problem may state of a group. */
export type Stated = Constraint | readonly Constraint[];

/** What a sum, or a pair that should be equal, may be off by, relatively, at the start: float32 rounds. */
const ROUNDING = 1e-5;

/** lower ≤ x ≤ upper for each element; either bound may be left out. @throws ProblemError for bounds without room */
export function box(options: { lower?: number; upper?: number }): Constraint {
  assertKnown("box", options, { lower: true, upper: true });
  const { lower, upper } = options;
  for (const [name, bound] of Object.entries({ lower, upper })) {
    if (bound !== undefined && !Number.isFinite(Math.fround(bound)))
      throw new ProblemError(`box has ${name} ${bound}: give a finite number, or leave it out`);
  }
  if (lower === undefined && upper === undefined)
    throw new ProblemError("box has no bounds: give lower, upper or both");
  if (lower !== undefined && upper !== undefined && lower > upper)
    throw new ProblemError(`box has lower ${lower} above upper ${upper}`);
  return {
    name: "box",
    settings: { lower, upper },
    upper,
    kind: "elementwise",
    violation({ data, shape }) {
      for (const [i, value] of data.entries()) {
        if (lower !== undefined && !(value >= Math.fround(lower)))
          return `${elementAt(shape, i)} is ${value}, not ≥ ${lower}`;
        if (upper !== undefined && !(value <= Math.fround(upper)))
          return `${elementAt(shape, i)} is ${value}, not ≤ ${upper}`;
      }
      return undefined;
    },
    record(hyper, group) {
      const code = clampBetween(group.count, group.view, { lower, upper });
      return [projection("clamp", hyper, group, code, linearGrid(group.count, group.lanes))];
    },
  };
}

/** x ≥ 0 for each element. */
export function nonNegative(): Constraint {
  return { ...box({ lower: 0 }), name: "nonNegative" };
}

/**
 * x ≥ 0 and Σ x = total along an axis, the last unless told: with total 1 each row of a matrix is a distribution. A
 * group without axes is one row of one element. @throws ProblemError for a total that is not > 0
 */
export function simplex(options: { total?: number; axis?: number } = {}): Constraint {
  assertKnown("simplex", options, { total: true, axis: true });
  const { total = 1, axis = -1 } = options;
  if (!(Math.fround(total) > 0 && Number.isFinite(Math.fround(total))))
    throw new ProblemError(`simplex has the total ${total}: give a finite number > 0`);
  return {
    name: "simplex",
    settings: { total, axis },
    upper: total,
    kind: "alone",
    violation({ data, shape }) {
      const { outer, n, inner } = rowsOf(shape, axis);
      for (let row = 0; row < outer * inner; row++) {
        const start = Math.floor(row / inner) * n * inner + (row % inner);
        let sum = 0;
        for (let i = start; i < start + n * inner; i += inner) {
          if (!(data[i]! >= 0)) return `${elementAt(shape, i)} is ${data[i]}, not ≥ 0`;
          sum += data[i]!;
        }
        if (!(Math.abs(sum - total) <= ROUNDING * total))
          return `the row from ${elementAt(shape, start)} on adds up to ${sum}, not to ${total}`;
      }
      return undefined;
    },
    record(hyper, group) {
      const rows = rowsOf(group.shape, axis);
      const code = simplexRows(rows, group.view, total);
      return [projection("simplex", hyper, group, code, [...rowGrid(rows), group.lanes])];
    },
  };
}

/** X = Xᵀ for a square matrix; the nearest such matrix is the mean of X and Xᵀ. */
export function symmetric(): Constraint {
  return {
    name: "symmetric",
    kind: "symmetry",
    violation({ data, shape }) {
      const [side = 0, columns] = shape;
      if (shape.length !== 2 || side !== columns) return `it is ${formatShape(shape)}, no square matrix`;
      for (const [i, value] of data.entries()) {
        const mirrored = (i % side) * side + Math.floor(i / side);
        if (!(Math.abs(value - data[mirrored]!) <= ROUNDING * Math.abs(value)))
          return `${elementAt(shape, i)} is ${value}, ${elementAt(shape, mirrored)} is ${data[mirrored]}`;
      }
      return undefined;
    },
    record(hyper, group) {
      const [side = 0] = group.shape;
      const code = symmetrize(side, group.view);
      return [projection("symmetrize", hyper, group, code, linearGrid(group.count, group.lanes))];
    },
  };
}

/**
 * Several constraints on one group. Boxes and `symmetric` go together: the mean of the triangles, then the clamps, is
 * the nearest point of them all.
 * @throws ProblemError beside a simplex: one projection after the other would not give the nearest point
 */
export function together(constraints: readonly Constraint[]): Constraint {
  const [only] = constraints;
  if (only === undefined) throw new ProblemError("a list of constraints is empty: leave the group out");
  if (constraints.length === 1) return only;
  const lonely = constraints.find(({ kind }) => kind === "alone");
  if (lonely !== undefined) {
    throw new ProblemError(
      `${lonely.name} does not go together with another constraint on the same group: state it alone`,
    );
  }
  const ordered = [
    ...constraints.filter(({ kind }) => kind === "symmetry"),
    ...constraints.filter(({ kind }) => kind === "elementwise"),
  ];
  return {
    name: ordered.map(({ name }) => name).join(" and "),
    settings: Object.assign({}, ...ordered.map(({ settings }) => settings)),
    upper: leastOf(ordered.flatMap(({ upper }) => upper ?? [])),
    kind: "alone",
    violation: (group) => ordered.map((one) => one.violation(group)).find((found) => found !== undefined),
    record: (hyper, group) => ordered.flatMap((one) => one.record(hyper, group)),
  };
}

const leastOf = (bounds: readonly number[]) => (bounds.length > 0 ? Math.min(...bounds) : undefined);

/**
 * The constraint of each group that has any.
 * @throws ProblemError for a group that does not exist, or that does not start in its set
 */
export function checkConstraints<H extends string>(
  hyper: Readonly<Record<H, Values>>,
  stated?: Readonly<Partial<Record<H, Stated>>>,
): Partial<Record<H, Constraint>> {
  const checked: Partial<Record<H, Constraint>> = {};
  for (const [name, given] of Object.entries(stated ?? {}) as [H, Stated | undefined][]) {
    if (given === undefined) continue;
    if (!Object.hasOwn(hyper, name)) {
      throw new ProblemError(
        `"${name}" has a constraint but is no group of α; those are ${Object.keys(hyper).join(", ")}`,
      );
    }
    const list = [given].flat();
    if (list.some((one) => typeof one?.violation !== "function"))
      throw new ProblemError(`"${name}" has a constraint that is none: give one such as box({ lower: 0 })`);
    const constraint = together(list);
    for (const [lane, part] of partsOf(hyper[name]).entries()) {
      const violation = constraint.violation(part);
      if (violation === undefined) continue;
      const where = hyper[name].perLane ? ` of lane ${lane}` : "";
      throw new ProblemError(
        `the hyperparameter group "${name}"${where} does not start where ${constraint.name} lets it be: ${violation}`,
      );
    }
    checked[name] = constraint;
  }
  return checked;
}

function rowsOf(shape: Shape, axis: number): Rows {
  if (shape.length === 0) return { outer: 1, n: 1, inner: 1 };
  const along = normalizeAxis(axis, shape);
  return { outer: size(shape.slice(0, along)), n: shape[along]!, inner: size(shape.slice(along + 1)) };
}

function projection(
  label: string,
  hyper: Block,
  { count, lanes }: Group,
  code: string,
  grid: Grid,
): Dispatch {
  return {
    label,
    code,
    bindings: bindings(["write", { block: hyper }]),
    grid,
    flops: count,
    bytes: 8 * count * lanes,
  };
}
