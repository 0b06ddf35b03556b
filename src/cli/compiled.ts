import { createHash } from "node:crypto";
import { join } from "node:path";
import { cacheFolder } from "../host/cache.ts";
import { writeFile } from "../host/files.ts";
import type { Program } from "./program.ts";

/** Puts a compiled program where a runtime can load it; the same script always has the same place. */
export async function writeCompiled(code: string, program: Program): Promise<string> {
  const hash = createHash("sha256")
    .update(JSON.stringify([program.file, program.call]))
    .digest("hex")
    .slice(0, 16);
  const path = join(await cacheFolder(), "scripts", `${program.name.replace(/\W+/g, "-")}-${hash}.mjs`);
  await writeFile(path, code);
  return path;
}
