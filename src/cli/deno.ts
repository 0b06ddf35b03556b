import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { join } from "node:path";
import { ownPackage } from "../host/packages.ts";
import { writeCompiled } from "./compiled.ts";
import type { Program, RunOptions } from "./program.ts";

const flags = [
  "run",
  "--quiet",
  "--allow-all",
  "--unstable-webgpu",
  "--unstable-detect-cjs",
  // The program lies outside of every package; what it imports finds its own imports in node_modules.
  "--node-modules-dir=manual",
];

/** Runs a compiled program in a Deno of its own; signals are passed on, and so is the exit code. */
export async function runInDeno(code: string, program: Program, options: RunOptions): Promise<number> {
  const deno = await findDeno();
  const file = await writeCompiled(code, program);
  const child = spawn(deno, [...flags, file, ...program.argv], {
    stdio: "inherit",
    // A process group of its own: a terminal's Ctrl-C reaches it once, from here, not twice.
    detached: process.platform !== "win32",
    env: {
      ...process.env,
      DENO_NO_UPDATE_CHECK: "1",
      ...(options.adapter === undefined ? {} : { HYPERGRAD_ADAPTER: options.adapter }),
    },
  });
  const signals = ["SIGINT", "SIGTERM"] as const;
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  const end = () => child.kill("SIGKILL");
  for (const signal of signals) process.on(signal, pass);
  process.on("exit", end);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (status, signal) =>
        resolve(status ?? 128 + (signal ? constants.signals[signal] : 0)),
      );
    });
  } finally {
    for (const signal of signals) process.off(signal, pass);
    process.off("exit", end);
  }
}

/**
 * npm's Deno, as the current folder or this package sees it.
 *
 * @throws Error saying how to install it
 */
async function findDeno(): Promise<string> {
  for (const folder of [process.cwd(), (await ownPackage()).folder]) {
    try {
      const require = createRequire(join(folder, "package.json"));
      const { runInstall } = require("deno/install_api.cjs") as { runInstall(): string };
      return runInstall();
    } catch {
      // Not installed there.
    }
  }
  throw new Error("Deno is not installed here: npm install --save-dev deno");
}
