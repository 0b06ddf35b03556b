import { UsageError } from "../host/errors.ts";
import { ownPackage } from "../host/packages.ts";
import { print } from "../host/terminal.ts";
import { benchCommand } from "./bench-command.ts";
import { checkCommand } from "./check-command.ts";
import type { Command } from "./command.ts";
import { compareCommand } from "./compare-command.ts";
import { dataCommand } from "./data-command.ts";
import { doctorCommand } from "./doctor-command.ts";
import { packCommand } from "./pack-command.ts";
import { profileCommand } from "./profile-command.ts";
import { runCommand } from "./run.ts";
import { runScript } from "./script.ts";

/** Every command; a new one is a line here. */
const commands: Record<string, Command> = {
  run: runCommand,
  compare: compareCommand,
  check: checkCommand,
  profile: profileCommand,
  doctor: doctorCommand,
  bench: benchCommand,
  data: dataCommand,
  pack: packCommand,
};

/** The command line: dispatches, reports errors in one line, ends the process. */
export function main(argv: readonly string[]): Promise<never> {
  return runScript(() => dispatch(argv));
}

async function dispatch([name, ...rest]: readonly string[]): Promise<number | undefined> {
  if (name === "--help" || name === "-h" || name === "help") {
    print(help());
    return 0;
  }
  if (name === "--version") {
    print((await ownPackage()).version);
    return 0;
  }
  if (name === undefined) throw new UsageError(`no command\n${help()}`);
  const command = commands[name];
  if (!command || !Object.hasOwn(commands, name))
    throw new UsageError(`there is no command "${name}"\n${help()}`);
  return command.run(rest);
}

function help(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`);
  return ["Usage: hypergrad COMMAND [flags]", "", ...lines, "", "hypergrad COMMAND --help says more."].join(
    "\n",
  );
}
