/** How a script ends: one line of JSON, or tables, and then a figure if one is wanted. */
import { type Figure, figure, type Gpu, print, writeFile } from "../../src/index.ts";

interface DeliveryOptions {
  readonly json: boolean;
  /** A file. */
  readonly figure?: string | undefined;
}

export async function deliver<Point>(
  gpu: Gpu,
  options: DeliveryOptions,
  points: readonly Point[],
  {
    drawn,
    printTables,
  }: { drawn(points: readonly Point[]): Figure; printTables(points: readonly Point[]): void },
): Promise<void> {
  const { json, ...settings } = options;
  const adapter = gpu.choice.description;
  if (json) print(JSON.stringify({ ...settings, adapter, points }));
  else {
    printTables(points);
    print(`adapter: ${adapter}`);
  }
  await deliverFigure(options, () => drawn(points));
}

/** To call once the results are printed: a file that cannot be written must not cost them. */
export async function deliverFigure(
  { json, figure: file }: DeliveryOptions,
  drawn: () => Figure,
): Promise<void> {
  if (file === undefined) return;
  await writeFile(file, await figure(drawn()));
  if (!json) print(`figure: ${file}`);
}
