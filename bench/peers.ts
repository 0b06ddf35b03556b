// One hypergradient of data hyper-cleaning in other libraries and here, on the same numbers, and the ratios. Node only:
// every library runs in a process of its own.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import packageJson from "../package.json" with { type: "json" };
import { OuterLoop } from "../src/bilevel/outer_loop.ts";
import { greedy } from "../src/estimators/greedy.ts";
import { krmd } from "../src/estimators/krmd.ts";
import { Gpu } from "../src/gpu/gpu.ts";
import { parseArguments, positiveInteger } from "../src/host/arguments.ts";
import { UsageError } from "../src/host/errors.ts";
import { runtime } from "../src/host/runtime.ts";
import { finish } from "../src/host/terminal.ts";
import { linear } from "../src/nn/models.ts";
import { table } from "../src/report/table.ts";
import { cleaning, examples } from "./cleaning.ts";
import { outputFlags } from "./flags.ts";
import { report } from "./peers/measure.mjs";
import { estimators, generate, workload } from "./peers/workload.mjs";
import { about, deliver } from "./result.ts";

const options = await parseArguments(
  "hypergrad bench peers",
  object({
    only: withDefault(
      option("--only", string({ metavar: "A,B" }), {
        description: message`Peers to run: jax, tfjs, torch; or none but hypergrad itself with "hypergrad".`,
      }),
      "jax,tfjs,torch",
    ),
    runs: withDefault(
      option("--runs", positiveInteger(), {
        description: message`Timed runs of each estimator, at least 5.`,
      }),
      7,
    ),
    row: option("--row", {
      description: message`Only measure hypergrad, and print its line in the peers' format.`,
    }),
    ...outputFlags,
  }),
  { description: "Compares the time of one hypergradient with that of other libraries." },
);
if (runtime() !== "node") throw new UsageError("bench peers runs in Node: leave --runtime away");
if (options.row) await ownRow();
else await compare();

/** One hypergradient with its inner run, from the submit until its numbers are on the host. */
async function ownRow(): Promise<void> {
  const { inputs, classes, steps, lr, momentum, l2 } = workload;
  const { trainX, trainY, valX, valY } = generate();
  const problem = cleaning({
    model: linear(inputs - 1, classes),
    train: examples({ images: withoutLastColumn(trainX), labels: trainY }),
    val: examples({ images: withoutLastColumn(valX), labels: valY }),
    ...{ steps, lr, momentum, l2 },
  });
  const gpu = await Gpu.open();
  const prepared = await Promise.all(
    estimators.map(async ({ name, k, gamma }) => {
      const estimator = gamma === undefined ? krmd({ k: k! }) : greedy({ gamma });
      return [name, await OuterLoop.prepare(problem, { gpu, estimator })] as const;
    }),
  );
  const loops = new Map(prepared);
  const peer = {
    peer: "hypergrad",
    version: packageJson.version,
    backend: "webgpu (dawn)",
    adapter: gpu.choice.description,
  };
  await report(peer, ({ name }) => {
    const loop = loops.get(name)!;
    return async () => {
      const [, { weight }] = await Promise.all([loop.step({ restart: true }), loop.hypergradient()]);
      return weight.data;
    };
  });
}

/** The workload's last input is a constant 1; here it is the layer's bias. */
function withoutLastColumn(x: Float32Array): Float32Array {
  const { inputs } = workload;
  return x.filter((_, i) => i % inputs !== inputs - 1);
}

interface Peer {
  peer: string;
  version?: string;
  backend?: string;
  adapter?: string | null;
  rows?: { estimator: string; seconds: number; error?: number }[];
  absent?: string;
  failed?: string;
}

/** What run.mjs prints with --json. */
interface Comparison {
  machine: { cpu: string; cores: number; node: string };
  peers: Peer[];
  /** Our time over the peer's, by peer and estimator. */
  ratios: Record<string, Record<string, number>> | null;
}

async function compare(): Promise<void> {
  const launcher = fileURLToPath(new URL("../src/cli/hypergrad.mjs", import.meta.url));
  const own = `"${process.execPath}" "${launcher}" bench peers --row`;
  const script = fileURLToPath(new URL("./peers/run.mjs", import.meta.url));
  const flags = [
    "--command",
    `hypergrad=${own}`,
    "--only",
    options.only,
    "--runs",
    `${options.runs}`,
    "--json",
  ];
  const { code, stdout } = await capture(process.execPath, [script, ...flags]);
  const comparison = (stdout === "" ? undefined : JSON.parse(stdout)) as Comparison | undefined;
  // Nothing was measured: stderr has said why.
  if (!comparison?.peers.some(({ rows }) => rows !== undefined)) return finish(code);
  const adapter = comparison.peers.find(({ peer }) => peer === "hypergrad")?.adapter ?? "unknown";
  await deliver({ ...(await about("peers", adapter)), ...comparison }, options, text);
  if (code !== 0) await finish(code);
}

/** What a program prints on stdout; its stderr is shown as it comes. */
function capture(program: string, args: readonly string[]): Promise<{ code: number; stdout: string }> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, stdout }));
  });
}

function text({ adapter, machine, peers, ratios }: Comparison & { adapter: string }): string {
  const names = estimators.map(({ name }) => name);
  const measured = peers.filter(({ rows }) => rows !== undefined);
  const seconds = measured.map(({ peer, rows = [] }) => {
    const of = (name: string) => rows.find(({ estimator }) => estimator === name)?.seconds.toFixed(4) ?? "–";
    const error = Math.max(...rows.map((row) => row.error ?? 0)).toExponential(1);
    return [peer, ...names.map(of), error];
  });
  const speed = Object.entries(ratios ?? {}).map(([peer, values]) => [
    peer,
    ...names.map((name) => (values[name] === undefined ? "–" : `${(1 / values[name]).toPrecision(3)}×`)),
  ]);
  return [
    `${adapter}; ${machine.cores} cores of ${machine.cpu}`,
    "seconds for one hypergradient with its inner run (median), and the largest relative error",
    table(["peer", ...names, "error"], seconds),
    ...(speed.length > 0
      ? ["how many times faster hypergrad is (below 1: slower)", table(["than", ...names], speed)]
      : []),
    [
      ...measured.map(
        ({ peer, version, backend, adapter }) =>
          `${peer}: ${[version, backend, adapter].filter(Boolean).join(", ")}`,
      ),
      ...peers.flatMap(({ peer, absent }) => (absent ? [`${peer}: absent, ${absent}`] : [])),
    ].join("\n"),
  ].join("\n\n");
}
