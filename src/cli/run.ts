import { existsSync } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { UsageError } from "../host/errors.ts";
import { ownPackage } from "../host/packages.ts";
import { print } from "../host/terminal.ts";
import type { Command } from "./command.ts";
import { runProgram, runtimeNamed } from "./program.ts";

const help = `Usage: hypergrad run FILE [flags]

Runs a script. FILE is a TypeScript or JavaScript file, or the name of one that comes with hypergrad.

  --runtime NAME  node (the default), deno, or browser (headless Chromium, results printed here)
  --adapter NAME  auto, hardware, software, lavapipe, swiftshader, or a part of the adapter's name
                  [HYPERGRAD_ADAPTER, else auto]

All other flags are the script's: hypergrad run FILE --help lists them.`;

/** `hypergrad run FILE [flags]` */
export const runCommand: Command = {
  summary: "run a script in Node, Deno or a browser",
  async run(argv) {
    const { own, rest } = splitFlags(argv, ["--runtime", "--adapter"]);
    const [name, ...flags] = rest;
    if (name === "--help" || name === "-h") {
      print(help);
      return 0;
    }
    const file = await findScript(name, "run");
    return runProgram(
      { name: basename(file), file, argv: flags },
      {
        runtime: runtimeNamed(own["--runtime"] ?? "node"),
        adapter: own["--adapter"],
        folders: dataFolders(flags),
      },
    );
  },
};

/** The folder of a script's `--data`, for a page to read. */
export function dataFolders(flags: readonly string[]): string[] {
  const data = splitFlags(flags, ["--data"]).own["--data"];
  return data !== undefined && existsSync(data) ? [data] : [];
}

/**
 * Takes `--flag value` and `--flag=value` of these flags out of the arguments, up to `--`.
 *
 * @throws UsageError when a value is missing
 */
export function splitFlags(
  argv: readonly string[],
  flags: readonly string[],
): { own: Record<string, string>; rest: string[] } {
  const own: Record<string, string> = {};
  const rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === "--") return { own, rest: [...rest, ...argv.slice(i)] };
    const [flag = "", ...value] = argument.split("=");
    if (!flags.includes(flag)) {
      rest.push(argument);
      continue;
    }
    const text = value.length > 0 ? value.join("=") : argv[++i];
    if (text === undefined || text === "") throw new UsageError(`${flag} needs a value`);
    own[flag] = text;
  }
  return { own, rest };
}

/**
 * FILE as it stands, else a script of this package by its path or its name; without symbolic links.
 *
 * @param command the one that needs it, for the message
 * @throws UsageError that lists the package's own scripts
 */
export async function findScript(name: string | undefined, command: string): Promise<string> {
  const { folder } = await ownPackage();
  const scripts = await readdir(join(folder, "scripts")).catch(() => []);
  const list = scripts.filter((file) => /\.(ts|mjs)$/.test(file)).map((file) => `  scripts/${file}`);
  const known = list.length > 0 ? `\nscripts that come with hypergrad:\n${list.join("\n")}` : "";
  if (name === undefined || name.startsWith("-")) {
    throw new UsageError(`${command} needs a FILE${name === undefined ? "" : ` before ${name}`}${known}`);
  }
  const ours = join(folder, "scripts", name);
  const places = [resolve(name), join(folder, name), `${ours}.ts`, `${ours}.mjs`];
  for (const place of places) {
    const found = await stat(place).catch(() => undefined);
    if (!found?.isFile()) continue;
    if (!/\.[cm]?[jt]s$/.test(place))
      throw new UsageError(`${name} is no script: the name of one ends in .ts, .mts, .js or .mjs`);
    return realpath(place);
  }
  throw new UsageError(`there is no file ${name}${known}`);
}
