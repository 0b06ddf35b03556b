#!/usr/bin/env node
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..", "..");

/** Node 20 cannot run TypeScript: a checkout is compiled at every start, an installed package is compiled already. */
async function load() {
  if (root.split(sep).includes("node_modules"))
    return import(pathToFileURL(join(root, "dist", "cli.js")).href);
  const { bundle } = await import("./bundle.mjs").catch((error) => {
    console.error(`error: ${error.message}\nrun npm install in ${root} first`);
    process.exit(1);
  });
  process.setSourceMapsEnabled(true);
  const text = await bundle({ source: 'export { main } from "./main.ts";', folder: here, platform: "node" });
  return import(pathToFileURL(write(text)).href);
}

/** To a name of its own, then renamed: another start at the same time never sees half a file. */
function write(text) {
  const folders = [
    join(root, "node_modules", ".cache", "hypergrad"),
    join(tmpdir(), `hypergrad-cli-${process.pid}`),
  ];
  for (const folder of folders) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const temporary = join(folder, `cli.${process.pid}.tmp`);
      writeFileSync(temporary, text);
      renameSync(temporary, join(folder, "cli.mjs"));
      return join(folder, "cli.mjs");
    } catch {
      // A read-only checkout: the next folder.
    }
  }
  console.error(`error: none of these folders can be written: ${folders.join(", ")}`);
  process.exit(1);
}

const { main } = await load();
await main(process.argv.slice(2));
