import { originOf } from "./origin.ts";
import { environment } from "./runtime.ts";

/** What the user asked for cannot be: a wrong flag, a missing file. Ends the program with exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** No adapter fits the request; the message says what was tried and what to install. */
export class AdapterError extends Error {
  override name = "AdapterError";
}

/** 2 for a UsageError, 1 for everything else. By name: a script may carry its own copy of the class. */
export function exitCode(error: unknown): number {
  return error instanceof Error && error.name === "UsageError" ? 2 : 1;
}

/**
 * One line for people; the whole stack with HYPERGRAD_DEBUG=1.
 *
 * @param library the folder of this package where a user's script failed: the line then says where in it, if it can
 */
export function describeError(error: unknown, library?: string): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`;
  if (environment("HYPERGRAD_DEBUG") === "1") return error.stack ?? error.message;
  const origin = library === undefined ? undefined : originOf(error, library);
  return `error: ${error.message}${origin === undefined ? "" : ` (${origin})`}`;
}
