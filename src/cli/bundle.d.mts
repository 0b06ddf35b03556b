/**
 * Compiles a TypeScript entry and everything it imports by path into one module.
 *
 * @returns the module's text, with its source map
 * @throws esbuild's BuildFailure when the source is wrong
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
