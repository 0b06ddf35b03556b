import { basename } from "node:path";
import { print } from "../host/terminal.ts";
import { runProgram, runtimeNamed } from "./program.ts";
import { dataFolders, findScript, splitFlags } from "./run.ts";

export interface OnScript<Options> {
  /** Its name on the command line. */
  command: string;
  help: string;
  /** Its own flags that take a value, beside --runtime and --adapter. */
  flags: readonly string[];
  /** The function that does the work, `(load: () => Promise<object>, options: Options) => Promise<number>` … */
  program: string;
  /** … and its file in this package. */
  module: string;
  /** @throws UsageError for flags that are missing or wrong */
  options(
    own: Readonly<Record<string, string>>,
    given: { file: string; json: boolean },
  ): Options | Promise<Options>;
}

/** Runs a command that works on the problem which a script exports; the flags that are not its own are the script's. */
export async function runOnScript<Options>(
  argv: readonly string[],
  on: OnScript<Options>,
): Promise<number | undefined> {
  const { own, rest } = splitFlags(argv, [...on.flags, "--runtime", "--adapter"]);
  const [name, ...given] = rest;
  if (name === "--help" || name === "-h") {
    print(on.help);
    return 0;
  }
  const file = await findScript(name, on.command);
  const json = given.includes("--json");
  const flags = given.filter((flag) => flag !== "--json");
  const options = await on.options(own, { file: basename(file), json });
  return runProgram(
    {
      name: `${on.command} ${basename(file)}`,
      file,
      call: { module: on.module, name: on.program, options },
      argv: flags,
    },
    {
      runtime: runtimeNamed(own["--runtime"] ?? "node"),
      adapter: own["--adapter"],
      folders: dataFolders(flags),
    },
  );
}
