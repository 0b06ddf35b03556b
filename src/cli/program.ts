import { join } from "node:path";
import { UsageError } from "../host/errors.ts";
import { ownPackage } from "../host/packages.ts";
import type { Runtime } from "../host/runtime.ts";
import { runInBrowser } from "./browser.ts";
import { bundle } from "./bundle.mjs";
import { runInDeno } from "./deno.ts";
import { runInNode } from "./node.ts";

/** What runs in one of the runtimes, compiled from an entry that ends in a call of `runScript`. */
export interface Program {
  /** For file names and messages: "toy.ts". */
  name: string;
  /** The expression that runs it, of type `() => Promise<unknown>`; `imports` are in scope. */
  expression: string;
  imports?: string;
  /** The file in which `import.meta.main` is true. */
  main?: string;
  argv: readonly string[];
}

export interface RunOptions {
  runtime: Runtime;
  /** Passed to `requestAdapter` as its default. */
  adapter?: string | undefined;
  /** Folders beside the current one whose files a page may read and write. */
  folders?: readonly string[];
}

/** @returns the program's exit code; in Node it may end the process itself */
export async function runProgram(program: Program, options: RunOptions): Promise<number> {
  const { folder } = await ownPackage();
  const source = `
    import { runScript } from ${JSON.stringify(join(folder, "src/cli/script.ts"))};
    ${program.imports ?? ""}
    await runScript(${program.expression});`;
  const code = await bundle({
    source,
    folder: process.cwd(),
    platform: options.runtime === "browser" ? "browser" : "node",
    library: join(folder, "src/index.ts"),
    main: program.main,
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

const runtimes: readonly string[] = ["node", "deno", "browser"] satisfies Runtime[];

/** @throws UsageError when there is no such runtime */
export function runtimeNamed(name: string): Runtime {
  if (!runtimes.includes(name)) {
    throw new UsageError(`--runtime is one of ${runtimes.join(", ")}, not "${name}"`);
  }
  return name as Runtime;
}
