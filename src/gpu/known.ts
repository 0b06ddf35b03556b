import { kindOf } from "./kind.ts";
import { ProblemError } from "./problem_error.ts";

/**
 * Refuses options that are none, and names that no option has: the types say it too, but not to JavaScript.
 * @param known has the name of every option, whatever stands under it: without one of them it does not pass the types
 * @throws ProblemError naming what is not known, and what is
 */
export function assertKnown<Options extends object>(
  of: string,
  given: Options,
  known: Readonly<Record<keyof NoInfer<Options>, unknown>>,
): void {
  const names = Object.keys(known).join(", ");
  if (typeof given !== "object" || given === null || Array.isArray(given) || "then" in given)
    throw new ProblemError(`${of} takes { ${names} }, not ${kindOf(given)}`);
  const stray = Object.keys(given).find((name) => !Object.hasOwn(known, name));
  if (stray !== undefined) throw new ProblemError(`${of} takes no "${stray}"; there are ${names}`);
}
