import { join } from "node:path";
import { UsageError } from "../host/errors.ts";
import { ownPackage } from "../host/packages.ts";
import { print } from "../host/terminal.ts";
import type { Command } from "./command.ts";
import { runProgram, runtimeNamed } from "./program.ts";
import { splitFlags } from "./run.ts";

/** Every benchmark: a module under bench/ with its flags. */
export const benches: Record<string, string> = {
  kernels: "every kernel's time and rates beside the roofline of the same adapter",
  hypergradient: "an outer step's time and bytes for each estimator, and hvp against gradient",
  tune: "the fastest variants of products and convolutions on this adapter, kept for later runs",
  lanes: "one outer step of n lanes beside n outer steps of one lane, and what new tasks cost",
  peers: "the same hypergradient in other libraries, and the ratios (Node)",
  all: "the tests and all of these, kept: what a page about a GPU needs (Node)",
};

const help = `Usage: hypergrad bench NAME [flags]

${Object.entries(benches)
  .map(([name, summary]) => `  ${name.padEnd(14)} ${summary}`)
  .join("\n")}

  --runtime NAME  node (the default), deno, or browser
  --adapter NAME  auto, hardware, software, lavapipe, swiftshader, or a part of the adapter's name

hypergrad bench NAME --help lists the other flags.`;

/** `hypergrad bench NAME [flags]` */
export const benchCommand: Command = {
  summary: "measure kernels, hypergradients, and other libraries",
  async run(argv) {
    const { own, rest } = splitFlags(argv, ["--runtime", "--adapter"]);
    const [name, ...flags] = rest;
    if (name === "--help" || name === "-h") {
      print(help);
      return 0;
    }
    if (name === undefined || !Object.hasOwn(benches, name)) {
      throw new UsageError(
        `${name === undefined ? "no benchmark" : `there is no benchmark "${name}"`}\n${help}`,
      );
    }
    const folder = join((await ownPackage()).folder, "bench");
    const file = join(folder, `${name}.ts`);
    return runProgram(
      {
        name: `bench ${name}`,
        file,
        argv: flags,
      },
      { runtime: runtimeNamed(own["--runtime"] ?? "node"), adapter: own["--adapter"], folders: [folder] },
    );
  },
};
