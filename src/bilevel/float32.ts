import { ProblemError } from "../gpu/problem_error.ts";

/** The least normal number; a GPU may take smaller ones for 0. */
export const LEAST_NORMAL = 2 ** -126;

/** @throws ProblemError unless a number > 0 is one in float32 too */
export function assertNormal(name: string, value: number): void {
  const rounded = Math.fround(value);
  if (!(rounded >= LEAST_NORMAL && Number.isFinite(rounded)))
    throw new ProblemError(`${name} is ${value}: give a number > 0 that float32 holds, 1.2e-38 to 3.4e38`);
}
