import type { Plugin } from "esbuild";

/**
 * Compiles a TypeScript entry and everything it imports by path into one module.
 *
 * @returns the module's text, with its source map
 * @throws Error for a name that a module is said to export and does not; esbuild's BuildFailure when the source is wrong otherwise
 */
export function bundle(options: {
  /** The entry's TypeScript. */
  source: string;
  /** The folder that the entry's imports start at. */
  folder: string;
  platform: "node" | "browser";
  /** The file that the bare name "hypergrad" stands for. */
  library?: string;
  /** The file in which `import.meta.main` is true; in all others it is false. */
  main?: string;
}): Promise<string>;

/** Makes the bare name "hypergrad" stand for this file. */
export function selfReference(library: string | undefined): Plugin;

/**
 * Makes properties of `import.meta` constants of each file.
 *
 * @param constants for "import.meta.NAME": the constant's name, and its expression in the file of this path
 */
export function metaConstants(
  constants: Readonly<Record<string, readonly [name: string, expression: (path: string) => string]>>,
): Plugin;
