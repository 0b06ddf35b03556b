/** A command of the command line. */
export interface Command {
  summary: string;
  /** @returns the exit code, as `runScript` has it; a UsageError stands for 2, another error for 1 */
  run(argv: readonly string[]): Promise<number | undefined>;
}
