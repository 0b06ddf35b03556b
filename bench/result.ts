import packageJson from "../package.json" with { type: "json" };
import { writeFile } from "../src/host/files.ts";
import { findPackage } from "../src/host/packages.ts";
import { runtime } from "../src/host/runtime.ts";
import { note, print } from "../src/host/terminal.ts";

/** What a result is worth nothing without: where, when and with what it was measured. */
export interface About {
  readonly bench: string;
  readonly date: string;
  readonly adapter: string;
  readonly runtime: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** What is asked of every benchmark's output. */
export interface OutputFlags {
  readonly json: boolean;
  readonly save: boolean;
}

export async function about(bench: string, adapter: string): Promise<About> {
  return {
    bench,
    date: new Date().toISOString(),
    adapter,
    runtime: runtime(),
    versions: await versions(),
  };
}

async function versions(): Promise<Record<string, string>> {
  const hypergrad = packageJson.version;
  switch (runtime()) {
    case "browser":
      return { hypergrad, browser: navigator.userAgent };
    case "deno": {
      const { Deno } = globalThis as unknown as { Deno: { version: { deno: string } } };
      return { hypergrad, deno: Deno.version.deno };
    }
    case "node":
      return { hypergrad, node: process.versions.node, webgpu: (await findPackage("webgpu")).version };
  }
}

/** Keeps an object in bench/results/, under its benchmark's and its adapter's name. */
export async function keep(result: About): Promise<void> {
  const slug = result.adapter
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  const where = result.runtime === "node" ? "" : `-${result.runtime}`;
  const file = `${result.bench}-${slug}${where}.json`;
  const text = `${JSON.stringify(result, undefined, 2)}\n`;
  await writeFile(new URL(`../bench/results/${file}`, import.meta.url), text);
  note(`written to bench/results/${file}`);
}

/** Prints one JSON object, or the text that is for people; keeps the object if it is to be kept. */
export async function deliver<T extends About>(
  result: T,
  { json, save }: OutputFlags,
  text: (result: T) => string,
): Promise<void> {
  if (save) await keep(result);
  print(json ? JSON.stringify(result) : text(result));
}
