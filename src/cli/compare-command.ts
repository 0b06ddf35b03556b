import { estimatorList, estimatorNames } from "../estimators/named.ts";
import { UsageError } from "../host/errors.ts";
import type { Command } from "./command.ts";
import type { CompareScriptOptions } from "./compare.ts";
import { runOnScript } from "./run-on-script.ts";

const help = `Usage: hypergrad compare FILE --estimators LIST [flags]

Holds estimators against exact reverse mode on the problem that a script exports: cosine, relative error, products,
time and memory of each.

  --estimators LIST  ${wrapped(estimatorNames)};
                     values of their parameters after a colon: rmd,krmd:5,greedy:0.9
  --repeats N        timed runs of each, fewer where they take seconds, after one that is not [5]
  --json             print one line of JSON instead of a table
  --runtime NAME     node (the default), deno, or browser
  --adapter NAME     auto, hardware, software, lavapipe, swiftshader, or a part of the adapter's name

All other flags are the script's: hypergrad run FILE --help lists them.`;

/** `hypergrad compare FILE --estimators LIST [flags]` */
export const compareCommand: Command = {
  summary: "hold estimators against the exact hypergradient of a script's problem",
  run: (argv) =>
    runOnScript<CompareScriptOptions>(argv, {
      command: "compare",
      help,
      flags: ["--estimators", "--repeats"],
      program: "compareScript",
      module: "src/cli/compare.ts",
      options({ "--estimators": estimators = "", "--repeats": repeats = "5" }, given) {
        if (estimators === "") throw new UsageError(`compare needs --estimators LIST\n${help}`);
        estimatorList(estimators);
        if (!/^[1-9]\d*$/.test(repeats)) {
          throw new UsageError(`--repeats is "${repeats}": give a whole number > 0`);
        }
        return { ...given, estimators, repeats: Number(repeats) };
      },
    }),
};

/** Names with commas between, in lines that start at the column of the flags' descriptions. */
function wrapped(names: readonly string[]): string {
  const lines = [""];
  for (const name of names) {
    const line = lines.at(-1)!;
    if (line.length + name.length > 80) lines.push(name);
    else lines[lines.length - 1] = line === "" ? name : `${line}, ${name}`;
  }
  return lines.join(`,\n${" ".repeat(21)}`);
}
