import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const launcher = `${root}src/cli/hypergrad.mjs`;

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface HypergradOptions {
  env?: Record<string, string>;
  cwd?: string;
  onStart?: (child: ChildProcess) => void;
  /** Called with all of stdout so far, each time that there is more. */
  onOutput?: (stdout: string, child: ChildProcess) => void;
  /** Likewise of stderr. */
  onNote?: (stderr: string, child: ChildProcess) => void;
}

/** Runs the command line as a user does. */
export function hypergrad(args: readonly string[], options: HypergradOptions = {}): Promise<Ended> {
  return start(process.execPath, [launcher, ...args], options);
}

/** Runs any program to its end. */
export function start(
  program: string,
  args: readonly string[],
  options: HypergradOptions = {},
): Promise<Ended> {
  const child = spawn(program, args, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  options.onStart?.(child);
  const ended: Ended = { code: null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    ended.stdout += text;
    options.onOutput?.(ended.stdout, child);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    ended.stderr += text;
    options.onNote?.(ended.stderr, child);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ ...ended, code }));
  });
}

/** No Vulkan driver of the system is found: the machine of a user who has none. */
export const noSystemDriver = { VK_DRIVER_FILES: "/nowhere.json", VK_ICD_FILENAMES: "/nowhere.json" };
