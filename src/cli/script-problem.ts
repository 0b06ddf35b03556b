import type { Problem } from "../bilevel/problem.ts";
import { unreadArguments } from "../host/arguments.ts";
import { UsageError } from "../host/errors.ts";

/**
 * The problem that a script exports.
 *
 * @param load imports the script
 * @param file its name, for the message
 * @throws UsageError saying what the script has to do, or which flags neither it nor the command has taken
 */
export async function scriptProblem(load: () => Promise<object>, file: string): Promise<Problem> {
  const script = await load();
  const unread = unreadArguments();
  if (unread.length > 0) {
    throw new UsageError(
      `nobody takes "${unread.join(" ")}": the command has no such flag, and ${file} reads none by parseArguments`,
    );
  }
  const problem = "problem" in script ? script.problem : undefined;
  if (isProblem(problem)) return problem;
  const what = problem === undefined ? "exports no `problem`" : "exports a `problem` that is none";
  throw new UsageError(
    `${file} ${what}: write \`export const problem = bilevel({ … })\`, and run the experiment under \`if (import.meta.main)\` only`,
  );
}

function isProblem(value: unknown): value is Problem {
  const parts: (keyof Problem)[] = ["leaves", "parameters", "hyper", "steps", "inner", "outer"];
  return typeof value === "object" && value !== null && parts.every((part) => part in value);
}
