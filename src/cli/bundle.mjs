// Plain JavaScript because the launcher needs it before anything can compile TypeScript; the types are in
// bundle.d.mts.
import { readFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { findSimilar } from "@optique/core/suggestion";
import { build } from "esbuild";

const builtins = new Set(builtinModules);

export async function bundle({ source, folder, platform, library, main }) {
  const result = await build({
    stdin: { contents: source, resolveDir: folder, sourcefile: "entry.ts", loader: "ts" },
    bundle: true,
    write: false,
    format: "esm",
    platform: platform === "browser" ? "browser" : "node",
    target: platform === "browser" ? "chrome120" : "node20",
    // Named, so that esbuild leaves out its own "module" condition, which Node does not know.
    conditions: platform === "browser" ? ["browser"] : ["node"],
    sourcemap: "inline",
    // The map names its sources as seen from the current folder, not from where the bundle will be put.
    sourceRoot: pathToFileURL(`${process.cwd()}/`).href,
    logLevel: "silent",
    plugins: [selfReference(library), platform === "browser" ? browserPackages : nodePackages, ownMeta(main)],
  });
  for (const warning of result.warnings) await refuseMissing(warning, library);
  return result.outputFiles[0].text;
}

/** `name` of `import * as module` that the module does not export is an error, not undefined. */
async function refuseMissing({ id, text, location }, library) {
  if (id !== "import-is-undefined") return;
  const [, name, from] = /^Import "(.+)" will always be undefined .* in "(.+)"$/.exec(text);
  const file = resolve(from);
  const { metafile } = await build({
    entryPoints: [file],
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    packages: "external",
    logLevel: "silent",
    plugins: [selfReference(library)],
  });
  const [{ exports }] = Object.values(metafile.outputs);
  const [nearest] = findSimilar(name, exports);
  const hint = nearest === undefined ? "" : `: did you mean "${nearest}"?`;
  const place = `${location.file}:${location.line}:${location.column + 1}`;
  throw new Error(`${file === library ? "hypergrad" : from} exports no "${name}"${hint} (${place})`);
}

/** The bare name of this package means its sources. */
export const selfReference = (library) => ({
  name: "self-reference",
  setup(build) {
    if (library) build.onResolve({ filter: /^hypergrad$/ }, () => ({ path: library }));
  },
});

/**
 * Packages stay outside, under the full address they have for the file that imports them: so the bundle can
 * be put anywhere.
 */
const nodePackages = {
  name: "node-packages",
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, async (args) => {
      if (args.kind === "entry-point" || args.pluginData === "resolving") return undefined;
      if (args.path.startsWith("node:") || builtins.has(args.path))
        return { path: args.path, external: true };
      const found = await build.resolve(args.path, {
        kind: args.kind,
        importer: args.importer,
        resolveDir: args.resolveDir,
        pluginData: "resolving",
      });
      if (found.errors.length > 0) {
        // A dynamic import may be an optional package: then it fails where it is reached, not here.
        return args.kind === "dynamic-import"
          ? { path: args.path, external: true }
          : { errors: found.errors };
      }
      if (/\.[cm]?tsx?$/.test(found.path)) return { path: found.path };
      return { path: pathToFileURL(found.path).href, external: true };
    });
  },
};

/** Code for Node may be imported dynamically, where a page never gets to; a plain import of it is an error. */
const browserPackages = {
  name: "browser-packages",
  setup(build) {
    const nodeOnly = new Set(["webgpu", "cli-progress", "@sparticuz/chromium", "playwright-core", "esbuild"]);
    build.onResolve({ filter: /^[^./]/ }, (args) => {
      const isNode = args.path.startsWith("node:") || builtins.has(args.path) || nodeOnly.has(args.path);
      if (!isNode || args.pluginData === "resolving") return undefined;
      if (args.kind === "dynamic-import") return { path: args.path, external: true };
      const text = `"${args.path}" is not there in a browser (imported by ${basename(args.importer)})`;
      return { errors: [{ text }] };
    });
  },
};

/** A bundled file keeps its own address, and `import.meta.main` is true in the program's file alone. */
const ownMeta = (main) =>
  metaConstants({
    "import.meta.url": ["importMetaUrl", (path) => JSON.stringify(pathToFileURL(path).href)],
    "import.meta.filename": ["importMetaFilename", (path) => JSON.stringify(path)],
    "import.meta.dirname": ["importMetaDirname", (path) => JSON.stringify(dirname(path))],
    "import.meta.main": ["importMetaMain", (path) => String(path === main)],
  });

/** Properties of `import.meta` become constants at the start of each file that uses them. */
export const metaConstants = (constants) => ({
  name: "meta-constants",
  setup(build) {
    build.initialOptions.define = Object.fromEntries(
      Object.entries(constants).map(([property, [name]]) => [property, name]),
    );
    build.onLoad({ filter: /\.[cm]?[jt]s$/, namespace: "file" }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const used = Object.entries(constants).filter(([property]) => text.includes(property));
      if (used.length === 0) return undefined;
      const lines = used.map(([, [name, value]]) => `const ${name} = ${value(path)};`);
      // Without a line of its own, so that the source map's lines stay right.
      const contents = text.replace(/^(#!.*)?/, () => lines.join(""));
      return { contents, loader: /ts$/.test(path) ? "ts" : "js" };
    });
  },
});
