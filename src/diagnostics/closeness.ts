import { ProblemError } from "../gpu/problem_error.ts";
import type { Values } from "../graph/values.ts";

/** How near a vector is to the exact one. */
export interface Closeness {
  /** Of the angle between the two; NaN where one of them is zero. */
  readonly cosine: number;
  /** ‖h - h*‖ / ‖h*‖; Infinity where h* alone is zero. */
  readonly relativeError: number;
}

/**
 * Of all groups of `exact` together; those of `found` may stand in another order.
 * @throws ProblemError where their names or lengths differ
 */
export function closeness(
  found: Readonly<Record<string, Values>>,
  exact: Readonly<Record<string, Values>>,
): Closeness {
  const stray = Object.keys(found).find((group) => !Object.hasOwn(exact, group));
  if (stray !== undefined)
    throw new ProblemError(`"${stray}" is no group of the exact vector, which has ${namesOf(exact)}`);
  const ordered = Object.keys(exact).flatMap((group) => [...partLike(exact, found, group)]);
  return closenessOf(ordered, numbers(exact));
}

/** The numbers of a group. @throws ProblemError unless they are as many as in `exact` */
function partLike(
  exact: Readonly<Record<string, Values>>,
  found: Readonly<Record<string, Values>>,
  group: string,
): Values["data"] {
  const part = Object.hasOwn(found, group) ? found[group] : undefined;
  if (part === undefined)
    throw new ProblemError(`"${group}" is missing: give every group of the exact vector, ${namesOf(exact)}`);
  const wanted = exact[group]!.data.length;
  if (part.data.length !== wanted)
    throw new ProblemError(`"${group}" has ${part.data.length} numbers, the exact one has ${wanted}`);
  return part.data;
}

const namesOf = (vector: Readonly<Record<string, Values>>) => Object.keys(vector).join(", ");

/** Of each group. */
export function closenessByGroup<H extends string>(
  found: Readonly<Record<H, Values>>,
  exact: Readonly<Record<H, Values>>,
): Record<H, Closeness> {
  const groups = Object.keys(exact) as H[];
  return Object.fromEntries(
    groups.map((group) => [group, closeness({ [group]: found[group] }, { [group]: exact[group] })]),
  ) as Record<H, Closeness>;
}

/** All numbers of a vector, group after group. */
export function numbers(vector: Readonly<Record<string, Values>>): number[] {
  return Object.values(vector).flatMap(({ data }) => [...data]);
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function norm(a: ArrayLike<number>): number {
  return Math.sqrt(dot(a, a));
}

function closenessOf(a: readonly number[], b: readonly number[]): Closeness {
  const distance = norm(a.map((value, i) => value - b[i]!));
  return {
    // One root of the product, not a product of roots: so that a vector and itself have exactly 1.
    cosine: dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)),
    relativeError: distance === 0 ? 0 : distance / norm(b),
  };
}
