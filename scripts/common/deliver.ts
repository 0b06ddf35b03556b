/** How a script that measures points ends: a figure if one is wanted, then one line of JSON, or tables. */
import { type Figure, figure, type Gpu, print, writeFile } from "../../src/index.ts";

export async function deliver<Point>(
  gpu: Gpu,
  { json, ...settings }: { readonly json: boolean; readonly figure?: string | undefined },
  points: readonly Point[],
  {
    drawn,
    printTables,
  }: { drawn(points: readonly Point[]): Figure; printTables(points: readonly Point[]): void },
): Promise<void> {
  const adapter = gpu.choice.description;
  if (settings.figure !== undefined) await writeFile(settings.figure, await figure(drawn(points)));
  if (json) {
    print(JSON.stringify({ ...settings, adapter, points }));
    return;
  }
  printTables(points);
  print(`adapter: ${adapter}`);
  if (settings.figure !== undefined) print(`figure: ${settings.figure}`);
}
