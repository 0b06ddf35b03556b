import { expect } from "vitest";
import type { Files } from "../../src/data/cifar.ts";
import { DataError } from "../../src/data/error.ts";

/** Files in memory that fail for the others as Node's do. */
export function memoryFiles(files: Record<string, Uint8Array>): Files {
  const missing = (what: string) =>
    Object.assign(new Error(`ENOENT: no such file or directory, ${what}`), { code: "ENOENT" });
  return {
    async readFile(path) {
      const bytes = files[path];
      if (bytes) return bytes;
      throw missing(`open '${path}'`);
    },
    async listFolder(path) {
      const inside = Object.keys(files).filter((file) => file.startsWith(`${path}/`));
      if (inside.length === 0) throw missing(`scandir '${path}'`);
      return [...new Set(inside.map((file) => file.slice(path.length + 1).split("/")[0]!))].sort();
    },
  };
}

/** The DataError with which something fails. */
export async function errorOf(work: Promise<unknown> | (() => unknown)): Promise<DataError> {
  const outcome = await (typeof work === "function" ? (async () => work())() : work).then(
    () => "it did not fail",
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(DataError);
  return outcome as DataError;
}
