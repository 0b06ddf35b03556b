import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { build, type Plugin } from "esbuild";
import { UsageError } from "../host/errors.ts";
import { benches } from "./bench-command.ts";
import { metaConstants, selfReference } from "./bundle.mjs";
import { findScript } from "./run.ts";

export interface PackBundle {
  /** By their paths in the packed folder. */
  files: ReadonlyMap<string, Uint8Array>;
  /** The names of the scripts, sorted. */
  scripts: readonly string[];
  /** The folders of the packages that went in. */
  packages: readonly string[];
}

/**
 * Compiles the command line, the scripts and the benchmarks into modules that need no package and no TypeScript; each
 * has the path of its source, and what they share lies in lib/.
 *
 * @param folder this package's
 * @param scripts the user's, besides those of the package
 * @throws UsageError for a script that is not there; esbuild's BuildFailure when one is wrong
 */
export async function packBundle(folder: string, scripts: readonly string[]): Promise<PackBundle> {
  const sources = await scriptSources(folder, scripts);
  const programs = new Map([...sources].map(([name, file]) => [file, `scripts/${name}`]));
  // The peers are libraries of their own, which nobody packed.
  const ours = Object.keys(benches).filter((name) => name !== "peers" && name !== "all");
  for (const name of ours) programs.set(join(folder, "bench", `${name}.ts`), `bench/${name}`);
  for (const name of ["main", "compare", "check", "profile"]) {
    programs.set(join(folder, "src/cli", `${name}.ts`), `src/cli/${name}`);
  }

  const outdir = resolve("packed");
  const result = await build({
    absWorkingDir: folder,
    entryPoints: [
      ...[...programs].map(([source, out]) => ({ in: source, out })),
      // Where dawn.node lies beside it as in its package.
      { in: "webgpu", out: "packages/webgpu/index" },
    ],
    outdir,
    outExtension: { ".js": ".mjs" },
    chunkNames: "lib/[name]-[hash]",
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "node",
    target: "node20",
    // Named, so that esbuild leaves out its own "module" condition, which Node does not know.
    conditions: ["node"],
    // Packages of the older module system require Node's own modules.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);',
    },
    logLevel: "silent",
    plugins: [
      standIn(folder),
      selfReference(join(folder, "src/index.ts")),
      metaConstants({ "import.meta.main": ["importMetaMain", (path) => isMain(programs.get(path))] }),
    ],
  });
  return {
    files: new Map(result.outputFiles.map(({ path, contents }) => [relative(outdir, path), contents])),
    scripts: [...sources.keys()].sort(),
    packages: packagesOf(Object.keys(result.metafile.inputs).map((path) => resolve(folder, path))),
  };
}

/** The scripts by name: this package's and the user's. */
async function scriptSources(folder: string, scripts: readonly string[]): Promise<Map<string, string>> {
  const names = (await readdir(join(folder, "scripts"))).filter((file) => file.endsWith(".ts"));
  const files = names.map((name) => join(folder, "scripts", name));
  for (const script of scripts) files.push(await findScript(script, "pack"));
  const sources = new Map<string, string>();
  for (const file of new Set(files)) {
    const name = basename(file, extname(file));
    const other = sources.get(name);
    if (other !== undefined) {
      throw new UsageError(
        `${file} and ${other} would both be called ${name} in the packed folder: rename yours`,
      );
    }
    sources.set(name, file);
  }
  return sources;
}

/** Where esbuild and the other runtimes would be needed, packed.ts says that they are not there. */
const standIn = (folder: string): Plugin => ({
  name: "stand-in",
  setup(build) {
    const cli = join(folder, "src/cli");
    build.onResolve({ filter: /^\.\/(program|pack)\.ts$/ }, ({ importer }) =>
      dirname(importer) === cli ? { path: join(cli, "packed.ts") } : undefined,
    );
  },
});

function isMain(program: string | undefined): string {
  return program === undefined ? "false" : `globalThis.hypergradLaunch?.main === ${JSON.stringify(program)}`;
}

function packagesOf(files: readonly string[]): string[] {
  const folders = files.map((file) => /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(file)?.[0]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}
