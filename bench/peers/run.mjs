/** Runs the peers one after another on the common workload and compares their times and their numbers. */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { availableParallelism, cpus } from "node:os";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { referenceChecksums } from "./reference.mjs";
import { estimators, workload } from "./workload.mjs";

const here = import.meta.dirname;
const tolerance = 1e-4;
/** A median this many times the fastest run means that something else used the machine. */
const noisy = 1.5;

/** Built-in peers: their script and the packages that it imports. */
const peers = {
  jax: { script: "jax.mjs", packages: ["@jax-js/jax"], shared: ["webgpu", "@sparticuz/chromium"] },
  tfjs: { script: "tfjs.mjs", packages: ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"] },
  torch: { script: "torch.mjs" },
};

const usage = `Usage: node bench/peers/run.mjs [options]

One hypergradient of data hyper-cleaning (n = ${workload.train}/${workload.val}, ${workload.inputs} inputs, T = ${workload.steps}) in each library.

  --only LIST            peers to run, with commas: ${Object.keys(peers).join(", ")} (all)
  --command NAME="..."   also run a shell command that prints a peer's JSON line; repeatable.
                         PEER_RUNS in its environment holds --runs.
                         With NAME hypergrad, the ratios hypergrad / peer are printed
  --runs N               timed runs of each estimator, at least 5 (7)
  --json                 print one JSON object instead of the tables
  --help                 print this

HYPERGRAD_ADAPTER=lavapipe or swiftshader chooses the WebGPU adapter.`;

/** Wrong arguments: says what and ends with exit code 2. */
function refuse(message) {
  console.error(`${message}\n\n${usage}`);
  process.exit(2);
}

function readArguments() {
  const options = {
    only: { type: "string" },
    command: { type: "string", multiple: true, default: [] },
    runs: { type: "string", default: "7" },
    json: { type: "boolean", default: false },
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
  return { builtIn, commands, runs, json: values.json };
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
  const root = relative(process.cwd(), join(here, "..", "..")) || ".";
  const prefix = (folder) => (folder === "." ? "" : ` --prefix ${folder}`);
  const own = builtIn.flatMap((name) => peers[name].packages ?? []).filter(missing);
  const shared = builtIn.flatMap((name) => peers[name].shared ?? []).filter(missing);
  const advice = [
    own.length && `${own.join(", ")}: npm ci${prefix(relative(process.cwd(), here) || ".")}`,
    shared.length && `${shared.join(", ")}: npm ci${prefix(root)}`,
  ].filter(Boolean);
  if (!advice.length) return;
  console.error(
    `Packages are missing. Install them, or leave their peers out with --only:\n  ${advice.join("\n  ")}`,
  );
  process.exit(1);
}

/** The last line of the output that is a JSON object, or undefined. */
function lastJson(output) {
  for (const line of output.trimEnd().split("\n").reverse()) {
    if (!line.startsWith("{")) continue;
    try {
      return JSON.parse(line);
    } catch {
      // not the line
    }
  }
  return undefined;
}

/** Runs one peer to its end. @returns its JSON line under `name`, or `{ peer, failed }` with the reason. */
function runPeer(name, file, args, options, runs) {
  return new Promise((done) => {
    const child = spawn(file, args, {
      ...options,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PEER_RUNS: String(runs) },
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    child.on("error", (error) => done({ peer: name, failed: error.message }));
    child.on("close", (code, signal) => {
      const line = lastJson(output);
      const tail = errors.trim().split("\n").slice(-15).join("\n");
      if (code !== 0) done({ peer: name, failed: `ended with ${signal ?? `exit code ${code}`}\n${tail}` });
      else if (line?.absent) done({ peer: name, absent: line.absent });
      else if (!Array.isArray(line?.rows))
        done({ peer: name, failed: `printed no JSON line with rows\n${tail}` });
      else done({ ...line, peer: name });
    });
  });
}

/** The largest difference of a checksum from the reference: of the norm, and of entries against their RMS. */
function relativeError({ norm = Number.NaN, first = [] } = {}, expected) {
  const rms = expected.norm / Math.sqrt(workload.train);
  const errors = [
    Math.abs(norm - expected.norm) / expected.norm,
    ...expected.first.map((value, i) => Math.abs(first[i] - value) / rms),
  ];
  return errors.some(Number.isNaN) ? Number.POSITIVE_INFINITY : Math.max(...errors);
}

/** Adds `error` to each row. */
function check(result, expected) {
  if (!result.rows) return result;
  const rows = result.rows.map((row) => {
    const target = expected[row.estimator];
    return target ? { ...row, error: relativeError(row.checksum, target) } : row;
  });
  return { ...result, rows };
}

const rowOf = (result, estimator) => result.rows?.find((row) => row.estimator === estimator);

/** hypergrad's time over each other peer's, by peer and estimator; undefined without hypergrad. */
function ratios(results) {
  const own = results.find(({ peer }) => peer === "hypergrad");
  if (!own?.rows) return undefined;
  const others = results.filter((result) => result !== own && result.rows);
  const ratio = (other, name) => rowOf(own, name)?.seconds / rowOf(other, name)?.seconds;
  return Object.fromEntries(
    others.map((other) => [
      other.peer,
      Object.fromEntries(
        estimators.map(({ name }) => [name, ratio(other, name)]).filter(([, value]) => value > 0),
      ),
    ]),
  );
}

/** Aligns columns: the first to the left, the others to the right. */
function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const cell = (text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]));
  return rows.map((row) => row.map(cell).join("  ").trimEnd()).join("\n");
}

function printTables(results, comparison) {
  const names = estimators.map(({ name }) => name);
  const measured = results.filter(({ rows }) => rows);
  if (measured.length) {
    console.log("Seconds for one hypergradient with its inner run (median), and the largest relative error");
    const line = (result) => [
      result.peer,
      ...names.map((name) => rowOf(result, name)?.seconds.toFixed(4) ?? "–"),
      Math.max(...result.rows.map(({ error }) => error ?? 0)).toExponential(1),
    ];
    console.log(table([["peer", ...names, "error"], ...measured.map(line)]));
    console.log();
    for (const { peer, version, backend, adapter } of measured)
      console.log(`${peer}: ${[version, backend, adapter].filter(Boolean).join(", ")}`);
  }
  for (const { peer, absent } of results) if (absent) console.log(`${peer}: absent, ${absent}`);
  if (comparison) {
    console.log("\nhypergrad / peer (below 1: hypergrad is faster)");
    const line = ([peer, values]) => [peer, ...names.map((name) => values[name]?.toFixed(3) ?? "–")];
    console.log(table([["peer", ...names], ...Object.entries(comparison).map(line)]));
  }
}

const { builtIn, commands, runs, json } = readArguments();
requirePackages(builtIn);
const expected = referenceChecksums();
const jobs = [
  ...builtIn.map((name) => [name, process.execPath, [join(here, peers[name].script)], {}]),
  ...commands.map(({ name, line }) => [name, line, [], { shell: true }]),
];
const results = [];
for (const job of jobs) {
  console.error(`running ${job[0]} …`);
  results.push(check(await runPeer(...job, runs), expected));
}
const comparison = ratios(results);

if (json) {
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    node: process.version,
  };
  console.log(
    JSON.stringify({ machine, workload, reference: expected, peers: results, ratios: comparison ?? null }),
  );
} else printTables(results, comparison);

for (const { peer, failed, rows = [] } of results) {
  if (failed) console.error(`${peer} failed: ${failed}`);
  for (const { estimator, error, seconds, fastest } of rows) {
    if (error > tolerance)
      console.error(`${peer} ${estimator}: differs from the float64 reference by ${error.toExponential(1)}`);
    if (seconds > noisy * fastest)
      console.error(
        `${peer} ${estimator}: noisy, the median is ${(seconds / fastest).toFixed(1)} times the fastest run (${fastest.toFixed(4)} s); do not use its ratio`,
      );
  }
}
const wrong = results.some(({ failed, rows = [] }) => failed || rows.some(({ error }) => error > tolerance));
process.exitCode = wrong ? 1 : 0;
