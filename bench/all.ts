// All that is measured of an adapter, one after the other, each kept under bench/results/: the page of results of a GPU
// from one command. Node only. What fails is named at the end, and the rest is run all the same.
import { fileURLToPath } from "node:url";
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { Gpu } from "../src/gpu/gpu.ts";
import { parseArguments, path } from "../src/host/arguments.ts";
import { UsageError } from "../src/host/errors.ts";
import { runtime } from "../src/host/runtime.ts";
import { finish, note, print } from "../src/host/terminal.ts";
import { table } from "../src/report/table.ts";
import { capture } from "./capture.ts";
import { named, timingFlags } from "./flags.ts";
import { about, keep } from "./result.ts";

const options = await parseArguments(
  "hypergrad bench all",
  object({
    only: optional(
      option("--only", string({ metavar: "A,B" }), {
        description: message`Parts whose names contain one of these.`,
      }),
    ),
    data: optional(
      option("--data", path("DIR"), {
        description: message`Folder with MNIST and Fashion-MNIST, for the tables of hyper-cleaning; without it they are left out.`,
      }),
    ),
    quick: timingFlags.quick,
  }),
  {
    description:
      "Runs the tests and every benchmark on the adapter and keeps the results, unless they are --quick: what a page about a GPU needs.",
  },
);
if (runtime() !== "node") throw new UsageError("bench all runs in Node: leave --runtime away");

interface Part {
  readonly name: string;
  readonly argv: readonly string[];
  /** A script: the JSON object that it prints is kept under the part's name. */
  readonly script?: boolean;
}

const launcher = fileURLToPath(new URL("../src/cli/hypergrad.mjs", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const repository = fileURLToPath(new URL("..", import.meta.url));

const bench = (name: string, ...flags: string[]): Part => ({
  name,
  argv: [launcher, "bench", name, options.quick ? "--quick" : "--save", ...flags],
});
const peers = (workload: string): Part => ({
  name: `peers ${workload}`,
  argv: [launcher, "bench", "peers", "--workload", workload, ...(options.quick ? [] : ["--save"])],
});

/** Data hyper-cleaning as Shaban et al. 2019, Table 2, and generalized greedy, Table 2, have it. */
function tables(data: string): Part[] {
  const sizes = options.quick ? ["--train", "100", "--val", "100", "--outer-steps", "2"] : [];
  const cleaning = (k: number): Part => ({
    name: `hypercleaning-k${k}`,
    argv: [
      ...[launcher, "run", "hypercleaning", "--json", "--data", data, "--estimator", "krmd", "--k", `${k}`],
      ...["--train", "5000", "--val", "5000", "--inner-steps", "100", "--inner-lr", "1", "--momentum", "0"],
      ...["--outer", "adam", "--outer-lr", "0.1", "--outer-steps", "1000"],
    ],
    script: true,
  });
  const network = (set: string, noise: number): Part => ({
    name: `hypercleaning-cnn-${set}-${noise}`,
    argv: [
      ...[launcher, "run", "hypercleaning-cnn", "--json", "--data", data, "--set", set],
      ...["--start", "warm", "--val", "test", "--noise", `${noise}`, ...sizes],
    ],
    script: true,
  });
  return [
    ...(options.quick ? [] : [1, 5, 25, 50, 100].map(cleaning)),
    ...["mnist", "fashion-mnist"].flatMap((set) => [network(set, 0.3), network(set, 0.5)]),
  ];
}

const all: Part[] = [
  // Its table is kept where all that follows looks for it.
  bench("tune", ...(options.quick ? ["--only", "dense 1000×64,40×32×4×4", "--candidates", "2"] : [])),
  { name: "tests", argv: [vitest, "run", "--root", repository] },
  bench("kernels"),
  bench("hypergradient"),
  bench("lanes", ...(options.quick ? [] : ["--lanes", "1,4,16,64,256,1024,4096"])),
  ...["linear", "linear-large", "cnn", "few-shot"].map(peers),
  ...(options.data === undefined ? [] : tables(options.data)),
];
const parts = named(all, options.only);

const gpu = await Gpu.open();
const adapter = gpu.choice.description;
gpu.close();
const rows: string[][] = [];
for (const part of parts) {
  note(`${part.name} …`);
  const began = performance.now();
  const { code, stdout } = await capture(process.execPath, part.argv);
  const minutes = ((performance.now() - began) / 60_000).toFixed(1);
  rows.push([part.name, code === 0 ? "done" : `failed: exit code ${code}`, minutes]);
  if (part.script && code === 0 && !options.quick)
    await keep({ ...(await about(part.name, adapter)), ...JSON.parse(stdout.trim().split("\n").at(-1)!) });
  else if (stdout) print(stdout.trimEnd());
}
print(`${adapter}\n\n${table(["part", "", "minutes"], rows)}`);
if (rows.some(([, how]) => how !== "done")) await finish(1);
