import { estimatorList } from "../estimators/named.ts";
import { UsageError } from "../host/errors.ts";
import type { Command } from "./command.ts";
import type { CompareScriptOptions } from "./compare.ts";
import { count, estimatorsHelp } from "./estimator-flags.ts";
import { runOnScript } from "./run-on-script.ts";

const help = `Usage: hypergrad compare FILE --estimators LIST [flags]

Holds estimators against exact reverse mode on the problem that a script exports: cosine, relative error, products,
time and memory of each.

  --estimators LIST  ${estimatorsHelp}
  --repeats N        timed runs of each, fewer where they take seconds, after one that is not [5]
  --every N          compare again after every N steps of an optimisation along the exact hypergradient, each
                     estimator once; with
  --until M          its steps, and
  --rate LR          the rate of its Adam [0.1]
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
      flags: ["--estimators", "--repeats", "--every", "--until", "--rate"],
      program: "compareScript",
      module: "src/cli/compare.ts",
      options(own, given) {
        const { "--estimators": estimators = "", "--every": every, "--until": until, "--rate": rate } = own;
        if (estimators === "") throw new UsageError(`compare needs --estimators LIST\n${help}`);
        estimatorList(estimators);
        const repeats = count("--repeats", own["--repeats"] ?? "5");
        if (every === undefined) {
          if (until === undefined && rate === undefined) return { ...given, estimators, repeats };
          throw new UsageError("--until and --rate belong to --every N");
        }
        if (own["--repeats"] !== undefined)
          throw new UsageError("with --every each estimator runs once: leave --repeats out");
        if (until === undefined) throw new UsageError("--every N needs --until M");
        const along = {
          every: count("--every", every),
          until: count("--until", until),
          rate: Number(rate ?? 0.1),
        };
        if (!(along.rate > 0)) throw new UsageError(`--rate is "${rate}": give a number > 0`);
        return { ...given, estimators, repeats, along };
      },
    }),
};
