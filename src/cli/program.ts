import { join } from "node:path";
import { UsageError } from "../host/errors.ts";
import { ownPackage } from "../host/packages.ts";
import type { Runtime } from "../host/runtime.ts";
import { runInBrowser } from "./browser.ts";
import { bundle } from "./bundle.mjs";
import { runInDeno } from "./deno.ts";
import { runInNode } from "./node.ts";

/** What runs in one of the runtimes: a file, or a function of this package, perhaps on what a file exports. */
export interface Program {
  /** For file names and messages: "toy.ts". */
  name: string;
  /** Imported; `import.meta.main` is true in it when there is nothing to call. */
  file?: string;
  call?: Call;
  argv: readonly string[];
}

/** The call of an exported function, with `() => import(file)` if there is a file, then the options. */
export interface Call {
  /** Its file in this package: "src/cli/check.ts". */
  module: string;
  name: string;
  /** As JSON. */
  options: unknown;
}

export interface RunOptions {
  runtime: Runtime;
  /** Passed to `requestAdapter` as its default. */
  adapter?: string | undefined;
  /** Folders beside the current one whose files a page may read and write. */
  folders?: readonly string[];
}

/** @returns the program's exit code; undefined where that is `runScript`'s to find */
export async function runProgram(program: Program, options: RunOptions): Promise<number | undefined> {
  const { folder } = await ownPackage();
  const code = await bundle({
    source: entry(program, folder),
    folder: process.cwd(),
    platform: options.runtime === "browser" ? "browser" : "node",
    library: join(folder, "src/index.ts"),
    main: program.call ? undefined : program.file,
  });
  switch (options.runtime) {
    case "node":
      return runInNode(code, program, options);
    case "deno":
      return runInDeno(code, program, options);
    case "browser":
      return runInBrowser(code, program, options);
  }
}

/** The module that runs a program to its end. Not awaited there: Deno would call that a deadlock once the program waits for nothing. */
function entry({ file, call }: Program, folder: string): string {
  const load = file === undefined ? [] : [`() => import(${JSON.stringify(file)})`];
  const program = call
    ? `async () => {
        const { ${call.name} } = await import(${JSON.stringify(join(folder, call.module))});
        return ${call.name}(${[...load, JSON.stringify(call.options)].join(", ")});
      }`
    : load.join();
  return `
    import { runScript } from ${JSON.stringify(join(folder, "src/cli/script.ts"))};
    export const ended = runScript(${program}, ${JSON.stringify(folder)});`;
}

const runtimes: readonly string[] = ["node", "deno", "browser"] satisfies Runtime[];

/** @throws UsageError when there is no such runtime */
export function runtimeNamed(name: string): Runtime {
  if (!runtimes.includes(name)) {
    throw new UsageError(`--runtime is one of ${runtimes.join(", ")}, not "${name}"`);
  }
  return name as Runtime;
}
