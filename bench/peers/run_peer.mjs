import { spawn } from "node:child_process";

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
export function runPeer({ name, file, args = [], shell = false }, workload, runs) {
  return new Promise((done) => {
    const child = spawn(file, args, {
      shell,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PEER_RUNS: String(runs), PEER_WORKLOAD: workload.name },
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
      else if (!Array.isArray(line?.rows) && !line?.hypergradients)
        done({ peer: name, failed: `printed no JSON line with rows\n${tail}` });
      else done({ ...line, peer: name });
    });
  });
}
