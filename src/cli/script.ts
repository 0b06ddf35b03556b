import { describeError, exitCode } from "../host/errors.ts";
import { interruptCode } from "../host/interrupt.ts";
import { launch } from "../host/launch.ts";
import { runtime } from "../host/runtime.ts";
import { finish, note } from "../host/terminal.ts";
import { pageEnd } from "./page-end.ts";
import { processEnd } from "./process-end.ts";

/**
 * Runs a program to its end and ends the process (or the page) with its exit code: the number it returns, else once
 * nothing is left to do 0, 2 for a UsageError, 1 for another error, awaited or not, 130 or 143 after a signal.
 *
 * @param library as in `describeError`
 */
export async function runScript(program: () => Promise<unknown>, library?: string): Promise<never> {
  const { failed, done } = runtime() === "browser" ? pageEnd() : processEnd();
  let code: number;
  try {
    const result = await Promise.race([program(), failed]);
    if (typeof result !== "number") await Promise.race([done(), failed]);
    code = typeof result === "number" ? result : interruptCode();
  } catch (error) {
    note(await describe(error, library));
    code = exitCode(error);
  }
  return finish(code);
}

async function describe(error: unknown, library: string | undefined): Promise<string> {
  const inPage = launch()?.describe;
  if (inPage === undefined || !(error instanceof Error)) return describeError(error, library);
  const { name, message, stack = "" } = error;
  return await inPage({ name, message, stack, library });
}
