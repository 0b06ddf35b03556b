/**
 * Hands the workload to PyTorch as raw files and runs torch_peer.py with the arguments it was given; without PyTorch,
 * says so and succeeds.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dump } from "./generate.mjs";
import { workloadAsked } from "./workload.mjs";

/** The first Python that can import torch; $PYTHON goes before the usual names. */
function findPython() {
  const candidates = [process.env.PYTHON, "python3", "/usr/bin/python3"].filter(Boolean);
  return candidates.find((python) => spawnSync(python, ["-c", "import torch, numpy"]).status === 0);
}

const python = findPython();
if (python) {
  const folder = mkdtempSync(join(tmpdir(), "hypergrad-workload-"));
  try {
    dump(workloadAsked(), folder);
    const script = join(import.meta.dirname, "torch_peer.py");
    const { status } = spawnSync(python, [script, folder, ...process.argv.slice(2)], { stdio: "inherit" });
    process.exitCode = status ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
} else {
  const absent = "no python3 imports torch (Debian: apt-get install python3-torch libopenblas0-pthread)";
  console.log(JSON.stringify({ peer: "torch", absent }));
}
