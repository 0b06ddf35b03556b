/**
 * The path with every link followed, as far as it exists: what a file written to it becomes. Node and Deno only.
 *
 * @throws Error where links lead in a circle
 */
export async function realPath(path: string): Promise<string> {
  const { readlink, realpath } = await import("node:fs/promises");
  const { basename, dirname, join, resolve } = await import("node:path");
  const whole = resolve(path);
  try {
    return await realpath(whole);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ELOOP") throw error;
    const parent = dirname(whole);
    if (parent === whole) return whole;
    const here = join(await realPath(parent), basename(whole));
    // A link to what is not there yet.
    const target = await readlink(here).catch(() => undefined);
    return target === undefined ? here : realPath(resolve(dirname(here), target));
  }
}
