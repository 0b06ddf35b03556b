import { estimatorList } from "../estimators/named.ts";
import { assertWritable } from "../host/files.ts";
import type { Command } from "./command.ts";
import { count, estimatorsHelp } from "./estimator-flags.ts";
import type { ProfileScriptOptions } from "./profile.ts";
import { runOnScript } from "./run-on-script.ts";

const help = `Usage: hypergrad profile FILE [flags]

Where the time of one outer step goes on the problem that a script exports: GPU time by kernel beside the roofline of
the same adapter, launches, the host's part.

  --estimators LIST  ${estimatorsHelp} [rmd]
  --samples N        outer steps timed [5]
  --trace FILE       also write the events of an outer step, for chrome://tracing or Perfetto
  --json             print one line of JSON instead of tables
  --runtime NAME     node (the default), deno, or browser
  --adapter NAME     auto, hardware, software, lavapipe, swiftshader, or a part of the adapter's name

All other flags are the script's: hypergrad run FILE --help lists them.`;

/** `hypergrad profile FILE [flags]` */
export const profileCommand: Command = {
  summary: "where the time of an outer step of a script's problem goes",
  run: (argv) =>
    runOnScript<ProfileScriptOptions>(argv, {
      command: "profile",
      help,
      flags: ["--estimators", "--samples", "--trace"],
      program: "profileScript",
      module: "src/cli/profile.ts",
      async options(own, given) {
        const { "--estimators": estimators = "rmd", "--samples": samples = "5", "--trace": trace } = own;
        estimatorList(estimators);
        if (trace !== undefined) await assertWritable(trace);
        return { ...given, estimators, samples: count("--samples", samples), ...(trace && { trace }) };
      },
    }),
};
