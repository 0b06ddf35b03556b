import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { argument, option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { formatBytes } from "../gpu/memory.ts";
import { parseArguments, path } from "../host/arguments.ts";
import { print } from "../host/terminal.ts";
import { table } from "../report/table.ts";
import type { Command } from "./command.ts";
import { pack } from "./pack.ts";

const parser = object({
  folder: argument(path("DIR"), { description: message`Where to: a new or an empty folder.` }),
  scripts: multiple(
    argument(string({ metavar: "SCRIPT" }), {
      description: message`Scripts of yours; those that come with hypergrad are packed in any case.`,
    }),
  ),
  platform: withDefault(
    option("--platform", string({ metavar: "NAME" }), {
      description: message`The machine that it is for, as npm's webgpu names it: linux-x64, linux-arm64, …`,
    }),
    "linux-x64",
  ),
  node: option("--node", { description: message`Pack this Node too, for a machine that has none.` }),
  noSwiftshader: option("--no-swiftshader", {
    description: message`Leave out SwiftShader and its Vulkan loader, which stand in where the machine has no driver or no loader (linux-x64).`,
  }),
  data: optional(option("--data", path("DIR"), { description: message`Copy this folder to DIR/data.` })),
  force: option("--force", {
    description: message`Write into a folder that is not empty, and replace what was packed there before.`,
  }),
});

/** `hypergrad pack DIR [SCRIPT…]` */
export const packCommand: Command = {
  summary: "write a folder that runs without npm and without a network",
  async run(argv) {
    const description =
      "Writes a folder that runs on a machine with a GPU driver and Node 20.19 or later, and nothing else: doctor, run, compare, check, profile, bench.";
    const { noSwiftshader, ...options } = await parseArguments("hypergrad pack", parser, {
      description,
      argv,
    });
    const { parts, scripts } = await pack({ ...options, swiftshader: !noSwiftshader });
    const total = parts.reduce((sum, { bytes }) => sum + bytes, 0);
    const rows = parts.map(({ name, bytes }) => [name, formatBytes(bytes)]);
    print(table([options.folder, "size"], [...rows, ["in all", formatBytes(total)]]));
    print(`${total} bytes for ${options.platform}; scripts: ${scripts.join(", ")}`);
    print(`copy it anywhere, then: ${options.folder}/hypergrad doctor`);
    return 0;
  },
};
