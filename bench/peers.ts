// One hypergradient in other libraries and here, on the same numbers, and the ratios. Node only: every library runs in a
// process of its own.
import { fileURLToPath } from "node:url";
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { choice, parseArguments, positiveInteger } from "../src/host/arguments.ts";
import { UsageError } from "../src/host/errors.ts";
import { releaseGpu, requestAdapter } from "../src/host/gpu.ts";
import { runtime } from "../src/host/runtime.ts";
import { finish } from "../src/host/terminal.ts";
import { table } from "../src/report/table.ts";
import { capture } from "./capture.ts";
import { outputFlags } from "./flags.ts";
import { pythonDevice } from "./peers/device.ts";
import { ownRow } from "./peers/hypergrad.ts";
import { type Workload, workloads } from "./peers/workload.mjs";
import { about, deliver } from "./result.ts";

const options = await parseArguments(
  "hypergrad bench peers",
  object({
    workload: withDefault(
      option("--workload", choice(Object.keys(workloads)), {
        description: message`The hypergradient: linear, linear-large and cnn, of data hyper-cleaning; few-shot, of a meta-batch of tasks.`,
      }),
      "linear",
    ),
    only: withDefault(
      option("--only", string({ metavar: "A,B" }), {
        description: message`Peers to run: jax (jax-js), jax-alone (the same without hypergrad's way of asking the driver for news), tfjs, and, where Python has them, torch (eager), torch-compile and jax-jit; or none but hypergrad itself with "hypergrad".`,
      }),
      "jax,jax-alone,tfjs,torch,torch-compile,jax-jit",
    ),
    runs: withDefault(
      option("--runs", positiveInteger(), {
        description: message`Timed runs of each estimator, at least 5; a library that takes longer than 30 s for them stops after fewer, at least 3.`,
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
const workload = workloads[options.workload]!;
if (options.row) await ownRow(workload);
else await compare();

interface Peer {
  peer: string;
  version?: string;
  backend?: string;
  adapter?: string | null;
  device?: "cpu" | "gpu";
  /** `error` is relative, of the whole hypergradient; absent for the peer that the others are compared with. */
  rows?: { estimator: string; seconds: number; runs: number; error?: number }[];
  absent?: string;
  failed?: string;
}

/** What run.mjs prints. */
interface Comparison {
  machine: { cpu: string; cores: number; node: string };
  workload: Workload;
  /** Of what the hypergradients' errors are; and why not of a float64 one. */
  agreement: { of?: string; without?: string };
  peers: Peer[];
  /** Our time over the peer's, by peer and estimator. */
  ratios: Record<string, Record<string, number>> | null;
  /** Why a peer has no ratio. */
  unlike: Record<string, string>;
}

async function compare(): Promise<void> {
  if (!process.env.PEER_DEVICE) {
    process.env.PEER_DEVICE = pythonDevice(await requestAdapter());
    releaseGpu();
  }
  const launcher = fileURLToPath(new URL("../src/cli/hypergrad.mjs", import.meta.url));
  const own = `"${process.execPath}" "${launcher}" bench peers --row --workload ${workload.name}`;
  const script = fileURLToPath(new URL("./peers/run.mjs", import.meta.url));
  const flags = [
    ...["--workload", workload.name],
    ...["--command", `hypergrad=${own}`],
    ...["--only", options.only],
    ...["--runs", `${options.runs}`],
  ];
  const { code, stdout } = await capture(process.execPath, [script, ...flags]);
  const comparison = (stdout === "" ? undefined : JSON.parse(stdout)) as Comparison | undefined;
  // Nothing was measured: stderr has said why.
  if (!comparison?.peers.some(({ rows }) => rows !== undefined)) return finish(code);
  const adapter = comparison.peers.find(({ peer }) => peer === "hypergrad")?.adapter ?? "unknown";
  const name = workload.name === "linear" ? "peers" : `peers-${workload.name}`;
  await deliver({ ...(await about(name, adapter)), ...comparison }, options, text);
  if (code !== 0) await finish(code);
}

function text({
  adapter,
  machine,
  workload: { about, train, val, steps, estimators },
  agreement: { of, without },
  peers,
  ratios,
  unlike,
}: Comparison & { adapter: string }): string {
  const names = estimators.map(({ name }) => name);
  const measured = peers.flatMap((peer) => (peer.rows ? [{ ...peer, rows: peer.rows }] : []));
  const seconds = measured.map(({ peer, rows }) => {
    const of = (name: string) => rows.find(({ estimator }) => estimator === name)?.seconds.toFixed(4) ?? "–";
    const errors = rows.flatMap(({ error }) => error ?? []);
    const runs = [...new Set(rows.map(({ runs }) => runs))].join(", ");
    return [peer, ...names.map(of), runs, errors.length > 0 ? Math.max(...errors).toExponential(1) : "–"];
  });
  const speed = Object.entries(ratios ?? {}).map(([peer, values]) => [
    peer,
    ...names.map((name) => (values[name] === undefined ? "–" : `${(1 / values[name]).toPrecision(3)}×`)),
  ]);
  return [
    `${about}: n = ${train}/${val}, T = ${steps}\n${adapter}; ${machine.cores} cores of ${machine.cpu}`,
    "seconds for one hypergradient with its inner run (median), timed runs, and the largest relative error",
    table(["peer", ...names, "runs", "error"], seconds),
    ...(speed.length > 0
      ? ["how many times faster hypergrad is (below 1: slower)", table(["than", ...names], speed)]
      : []),
    ...Object.entries(unlike).map(([peer, why]) => `no ratio with ${peer}: ${why}`),
    [
      `error against ${of}${without ? ` (no float64: ${without})` : ""}`,
      ...measured.map(
        ({ peer, version, backend, adapter }) =>
          `${peer}: ${[version, backend, adapter].filter(Boolean).join(", ")}`,
      ),
      ...peers.flatMap(({ peer, absent }) => (absent ? [`${peer}: absent, ${absent}`] : [])),
    ].join("\n"),
  ].join("\n\n");
}
