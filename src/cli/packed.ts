import { access } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { UsageError } from "../host/errors.ts";
import { ownPackage } from "../host/packages.ts";
import { handOver } from "./node.ts";
import type { Call } from "./program.ts";

// What stands in for program.ts and pack.ts inside a folder that `hypergrad pack` wrote. Its programs are compiled
// already, each under the path that it has in the package, and nothing else can be.

type Run = typeof import("./program.ts").runProgram;
type Named = typeof import("./program.ts").runtimeNamed;
type Pack = typeof import("./pack.ts").pack;

/** Runs a packed program in this process. */
export const runProgram: Run = async (program, options) => {
  runtimeNamed(options.runtime);
  const { file, call, argv, name } = program;
  if (call && file === undefined) return (await called(call))(call.options);
  const { folder } = await ownPackage();
  const entry = relative(folder, file!)
    .replace(/\.(ts|mjs)$/, "")
    .replaceAll(sep, "/");
  const path = join(folder, `${entry}.mjs`);
  if (entry.startsWith("..") || !(await isThere(path))) {
    throw new UsageError(
      `"${name}" is not packed, and a packed hypergrad cannot compile: where it is installed, hypergrad pack DIR FILE packs a script`,
    );
  }
  const load = () => import(pathToFileURL(path).href) as Promise<object>;
  handOver({ name, argv }, options, call ? undefined : entry);
  if (call) return (await called(call))(load, call.options);
  await load();
  return undefined;
};

export const runtimeNamed: Named = (name) => {
  if (name === "node") return name;
  throw new UsageError(`a packed hypergrad runs in Node alone: leave --runtime ${name} away`);
};

export const pack: Pack = async () => {
  throw new UsageError(
    "a packed hypergrad cannot pack: copy its folder, or pack where hypergrad is installed",
  );
};

type Callee = (...values: unknown[]) => Promise<number>;

async function called({ module, name }: Call): Promise<Callee> {
  const path = join((await ownPackage()).folder, module.replace(/\.ts$/, ".mjs"));
  const exports = (await import(pathToFileURL(path).href)) as Record<string, Callee>;
  return exports[name]!;
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
