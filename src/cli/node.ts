import { pathToFileURL } from "node:url";
import { writeCompiled } from "./compiled.ts";
import type { Program, RunOptions } from "./program.ts";

/** Runs a compiled program in this process; it ends the process itself. */
export async function runInNode(code: string, program: Program, options: RunOptions): Promise<number> {
  handOver(program, options);
  process.setSourceMapsEnabled(true);
  const { ended } = await import(pathToFileURL(await writeCompiled(code, program)).href);
  return ended;
}

/**
 * Gives a program that runs in this process its arguments and its adapter.
 *
 * @param main see `Launch`
 */
export function handOver({ name, argv }: Program, { adapter }: RunOptions, main?: string): void {
  if (adapter !== undefined) process.env.HYPERGRAD_ADAPTER = adapter;
  globalThis.hypergradLaunch = { argv, ...(main !== undefined && { main }) };
  process.argv.splice(1, Number.POSITIVE_INFINITY, name, ...argv);
}
