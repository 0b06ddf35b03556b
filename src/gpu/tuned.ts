import packageJson from "../../package.json" with { type: "json" };
import { type ConvVariant, convClass } from "../../shaders/conv.ts";
import { type MatmulTile, matmulClass } from "../../shaders/matmul.ts";
import lavapipe from "../../shaders/tuned/lavapipe-8.json" with { type: "json" };
import swiftshader from "../../shaders/tuned/swiftshader-4.json" with { type: "json" };
import type { Variants } from "../../shaders/variants.ts";
import { cacheFile } from "../host/cache.ts";
import { readFile } from "../host/files.ts";
import type { AdapterChoice } from "../host/gpu.ts";
import { HypergradError } from "./errors.ts";

/** What a tuner found on an adapter: the fastest variant by class of shapes. */
export interface VariantTable {
  readonly adapter: string;
  readonly matmul: Readonly<Record<string, MatmulTile>>;
  readonly conv: Readonly<Record<string, ConvVariant>>;
}

/** The tables that come with the package, by class of adapters, as `hypergrad bench tune --ship` writes them. */
const shipped: Readonly<Record<string, VariantTable>> = {
  "lavapipe-8": lavapipe as VariantTable,
  "swiftshader-4": swiftshader as VariantTable,
};

/** Adapters that are taken to like the same variants: software by its threads in step, GPUs by their architecture. */
export function adapterClass({ kind, subgroupSize, adapter }: AdapterChoice): string {
  const { vendor, architecture } = adapter.info;
  return kind === "hardware" ? `${vendor}-${architecture}` : `${kind}-${subgroupSize ?? 1}`;
}

/** The file of a user's own tuning. It is this version's, whose variants another one may not have. */
export const ownTuning = (name: string) => cacheFile(`variants-${packageJson.version}-${name}.json`);

/**
 * The user's own tuning before the package's; of that the table of the class, or of the same vendor. What is in none
 * of them is chosen by a model of the adapter.
 * @throws HypergradError for a file that is none
 */
export async function tunedVariants(choice: AdapterChoice): Promise<Variants> {
  const name = adapterClass(choice);
  const [vendor] = name.split("-");
  const near = Object.keys(shipped).find((key) => choice.kind === "hardware" && key.startsWith(`${vendor}-`));
  const file = await ownTuning(name);
  const own = file === undefined ? undefined : await readTable(file);
  const tables = [own, shipped[name] ?? (near && shipped[near])].filter((table) => !!table);
  const first = <T>(found: readonly (T | undefined)[]) => found.find((variant) => variant !== undefined);
  return {
    matmul: (shape) => first(tables.map(({ matmul }) => matmul[matmulClass(shape)])),
    conv: (asked) => first(tables.map(({ conv }) => conv[convClass(asked)])),
  };
}

/** The table in a file, if there is one. @throws HypergradError for a file that is none */
export async function readTable(file: string | URL): Promise<VariantTable | undefined> {
  let table: unknown;
  try {
    table = JSON.parse(new TextDecoder().decode(await readFile(file)));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw noTable(file, error);
  }
  if (!isTable(table)) throw noTable(file);
  return table;
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

const isTable = (value: unknown): value is VariantTable =>
  isObject(value) && "matmul" in value && isObject(value.matmul) && "conv" in value && isObject(value.conv);

const noTable = (file: string | URL, cause?: unknown) =>
  new HypergradError(`${file} is no table of variants as hypergrad bench tune writes them: delete it`, {
    cause,
  });
