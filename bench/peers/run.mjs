/** Runs the peers one after another on a workload, compares their times and numbers, and prints one JSON object. */
import { createRequire } from "node:module";
import { availableParallelism, cpus } from "node:os";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { check, firstOf, float64 } from "./agreement.mjs";
import { ratios, unlike } from "./ratios.mjs";
import { runPeer } from "./run_peer.mjs";
import { workloads } from "./workload.mjs";

const here = import.meta.dirname;
const launcher = join(here, "..", "..", "src", "cli", "hypergrad.mjs");
const jax = (...flags) => ({
  args: [launcher, "run", join(here, "jax.mjs"), ...flags],
  packages: ["@jax-js/jax"],
});
const python = (name) => ({ args: [join(here, "python.mjs"), name] });
/** A median this many times the fastest run means that something else used the machine. */
const noisy = 1.5;

/** Built-in peers: what Node runs and the packages that it imports; those in Python find their own. */
const peers = {
  jax: jax(),
  "jax-alone": jax("--alone"),
  tfjs: {
    args: [join(here, "tfjs.mjs")],
    packages: ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"],
  },
  torch: python("torch"),
  "torch-compile": python("torch-compile"),
  "jax-jit": python("jax-jit"),
};

const usage = `Usage: node bench/peers/run.mjs [options]

One hypergradient in each library, as one JSON object.

  --workload NAME        what of (linear):
${Object.values(workloads)
  .map(
    ({ name, about, train, val, steps }) =>
      `${" ".repeat(27)}${name}: ${about}; n = ${train}/${val}, T = ${steps}`,
  )
  .join("\n")}
  --only LIST            peers to run, with commas: ${Object.keys(peers).join(", ")} (all)
  --command NAME="..."   also run a shell command that prints a peer's JSON line; repeatable.
                         PEER_RUNS and PEER_WORKLOAD in its environment hold --runs and --workload.
                         With NAME hypergrad, the ratios hypergrad / peer are printed, but of no two
                         that say "device": "gpu" and "device": "cpu"
  --runs N               timed runs of each estimator, at least 5 (7); a peer that takes longer than
                         30 s for them stops after fewer, at least 3
  --help                 print this

jax is jax-js; HYPERGRAD_ADAPTER chooses its adapter as it does hypergrad's. There it asks the driver for news as seldom as
hypergrad does, which on a processor's few cores makes it faster than jax-alone, jax-js as it runs by itself. torch
(eager), torch-compile and jax-jit are run by the first Python that has PyTorch or JAX, and are absent without: PYTHON names one that is tried first.
PEER_DEVICE=cuda or cpu is where they compute; if it is unset, PyTorch takes the CPU and JAX what it finds. On the CPU
PyTorch takes PEER_THREADS threads, of which there are as many as cores if it is unset.`;

/** Wrong arguments: says what and ends with exit code 2. */
function refuse(message) {
  console.error(`${message}\n\n${usage}`);
  process.exit(2);
}

function readArguments() {
  const options = {
    workload: { type: "string", default: "linear" },
    only: { type: "string" },
    command: { type: "string", multiple: true, default: [] },
    runs: { type: "string", default: "7" },
    help: { type: "boolean", default: false },
  };
  let values;
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    refuse(error.message);
  }
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  if (!Object.hasOwn(workloads, values.workload))
    refuse(`--workload is "${values.workload}"; use ${Object.keys(workloads).join(", ")}`);
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 5) refuse(`--runs is "${values.runs}"; give a whole number from 5`);

  const commands = values.command.map((text) => {
    const [, name, line] = /^([\w.-]+)=(.*\S.*)$/s.exec(text) ?? [];
    if (!name) refuse(`--command is "${text}"; write --command NAME="shell command"`);
    if (name in peers) refuse(`--command names "${name}", which is a built-in peer; choose another name`);
    return { name, line };
  });
  const names = commands.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) refuse(`--command names "${twice}" twice`);

  const only = values.only?.split(",").map((name) => name.trim()) ?? Object.keys(peers);
  const unknown = only.find((name) => !(name in peers) && !names.includes(name));
  if (unknown !== undefined)
    refuse(`--only has "${unknown}"; the peers are ${[...Object.keys(peers), ...names].join(", ")}`);
  const builtIn = Object.keys(peers).filter((name) => only.includes(name));
  return { workload: workloads[values.workload], builtIn, commands, runs };
}

/** Ends with exit code 1 and what to install when a chosen peer's packages are missing. */
function requirePackages(builtIn) {
  const { resolve } = createRequire(import.meta.url);
  const missing = (name) => {
    try {
      resolve(name);
      return false;
    } catch {
      return true;
    }
  };
  const lacking = builtIn.flatMap((name) => peers[name].packages ?? []).filter(missing);
  if (!lacking.length) return;
  const folder = relative(process.cwd(), here);
  const install = `npm ci${folder ? ` --prefix ${folder}` : ""}`;
  console.error(
    `Packages are missing. Install them, or leave their peers out with --only:\n  ${lacking.join(", ")}: ${install}`,
  );
  process.exit(1);
}

const { workload, builtIn, commands, runs } = readArguments();
const has = (name) => workload.peers.includes(name);
requirePackages(builtIn.filter(has));
const jobs = [
  ...builtIn.map((name) => ({ name, file: process.execPath, args: peers[name].args })),
  ...commands.map(({ name, line }) => ({ name, file: line, shell: true })),
];
const results = [];
for (const job of jobs) {
  if (job.name in peers && !has(job.name)) {
    results.push({ peer: job.name, absent: `it is not written for the ${workload.name} workload` });
    continue;
  }
  console.error(`running ${job.name} …`);
  results.push(await runPeer(job, workload, runs));
}
const exact = await float64(workload);
const expected = exact.values ? exact : { ...exact, ...firstOf(results) };
const checked = results.map((result) => check(result, expected));

const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), node: process.version };
const { of, without } = expected;
const comparison = { ratios: ratios(checked) ?? null, unlike: unlike(checked) };
console.log(JSON.stringify({ machine, workload, agreement: { of, without }, peers: checked, ...comparison }));

const { tolerance } = workload;
for (const { peer, failed, rows = [] } of checked) {
  if (failed) console.error(`${peer} failed: ${failed}`);
  for (const { estimator, error, seconds, fastest } of rows) {
    if (error > tolerance)
      console.error(`${peer} ${estimator}: differs from ${of} by ${error.toExponential(1)}`);
    if (seconds > noisy * fastest)
      console.error(
        `${peer} ${estimator}: noisy, the median is ${(seconds / fastest).toFixed(1)} times the fastest run (${fastest.toFixed(4)} s); do not use its ratio`,
      );
  }
}
const wrong = checked.some(({ failed, rows = [] }) => failed || rows.some(({ error }) => error > tolerance));
process.exitCode = wrong ? 1 : 0;
