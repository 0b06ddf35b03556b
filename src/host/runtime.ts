export type Runtime = "node" | "deno" | "browser";

/** The JavaScript runtime that this code runs in. */
export function runtime(): Runtime {
  if ("Deno" in globalThis) return "deno";
  if (typeof globalThis.process?.versions?.node === "string") return "node";
  return "browser";
}

/** The value of an environment variable; undefined when unset, empty, or in a browser. */
export function environment(name: string): string | undefined {
  if (runtime() === "browser") return undefined;
  return process.env[name] || undefined;
}

/** Bytes of memory of the machine, or of the part that this process may take; undefined where the runtime does not say. */
export function systemMemory(): number | undefined {
  if (runtime() === "browser") return undefined;
  const total = process.getBuiltinModule?.("node:os")?.totalmem();
  // Without a limit it is 0, or more than there is.
  const allowed = process.constrainedMemory?.() || Infinity;
  return total === undefined ? undefined : Math.min(total, allowed);
}

/** Threads that run at once, as far as the runtime says (Node does from version 21). */
export const processors = (): number => globalThis.navigator?.hardwareConcurrency ?? 16;
