import { pathToFileURL } from "node:url";
import { writeCompiled } from "./compiled.ts";
import type { Program, RunOptions } from "./program.ts";

/** Runs a compiled program in this process; it ends the process itself. */
export async function runInNode(code: string, program: Program, options: RunOptions): Promise<number> {
  if (options.adapter !== undefined) process.env.HYPERGRAD_ADAPTER = options.adapter;
  globalThis.hypergradLaunch = { argv: program.argv };
  process.argv.splice(1, Number.POSITIVE_INFINITY, program.name, ...program.argv);
  process.setSourceMapsEnabled(true);
  await import(pathToFileURL(await writeCompiled(code, program)).href);
  return 0;
}
