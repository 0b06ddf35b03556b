import type { CheckScriptOptions } from "./check.ts";
import type { Command } from "./command.ts";
import { runOnScript } from "./run-on-script.ts";

const help = `Usage: hypergrad check FILE [flags]

Holds the exact hypergradient of the problem that a script exports against central differences of the whole inner
loop, with a verdict for each group of hyperparameters: agrees, disagrees, or undecided where rounding hides it.
The exit code is 1 when a group disagrees.

  --json          print one line of JSON instead of a table
  --runtime NAME  node (the default), deno, or browser
  --adapter NAME  auto, hardware, software, lavapipe, swiftshader, or a part of the adapter's name

All other flags are the script's: hypergrad run FILE --help lists them.`;

/** `hypergrad check FILE [flags]` */
export const checkCommand: Command = {
  summary: "hold a script's hypergradient against central differences",
  run: (argv) =>
    runOnScript<CheckScriptOptions>(argv, {
      command: "check",
      help,
      flags: [],
      program: "checkScript",
      module: "src/cli/check.ts",
      options: (_own, given) => given,
    }),
};
