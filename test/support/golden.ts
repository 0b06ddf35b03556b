import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Values } from "../../src/graph/values.ts";

/** An array of a golden file: base64 of little-endian bytes in C order. */
interface Encoded {
  dtype: "f32" | "f64" | "i32";
  shape: number[];
  b64: string;
}

export interface GoldenMethod {
  method: string;
  params: Record<string, number | boolean>;
  h: Record<string, Encoded>;
  float32_rel_diff: number | null;
  /** Of cg, for each task: the README says not to compare such results. */
  negative_curvature?: boolean[];
}

/** One problem with its data, and what an independent float64 implementation makes of it. */
export interface GoldenCase {
  file: string;
  problem: string;
  seed: number;
  config: Record<string, number | string | boolean | null>;
  T: number;
  n_tasks: number;
  eta: number | null;
  mu: number | null;
  arrays: Record<string, Encoded>;
  w0: Record<string, Encoded>;
  alpha0: Record<string, Encoded>;
  L_out_T: number;
  methods: GoldenMethod[];
}

const beside = join(dirname(fileURLToPath(import.meta.url)), "../../../shared/golden");

/** The folder of golden cases: GOLDEN_DIR, or the one beside the repository; undefined when there is none. */
export function goldenFolder(): string | undefined {
  const given = process.env.GOLDEN_DIR;
  if (given !== undefined && !existsSync(given))
    throw new Error(`GOLDEN_DIR is ${resolve(given)}, which does not exist`);
  return given ?? (existsSync(beside) ? beside : undefined);
}

/** All JSON files of a folder, parsed. Cases may stand in the folder itself or in its part. */
export function readFolder<T>(folder: string, part: string): (T & { file: string })[] {
  const inside = existsSync(join(folder, part)) ? join(folder, part) : folder;
  return readdirSync(inside)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((file) => ({ ...(JSON.parse(readFileSync(join(inside, file), "utf8")) as T), file }));
}

export function decode({ dtype, shape, b64 }: Encoded): {
  shape: number[];
  data: Float32Array | Float64Array | Int32Array;
} {
  const bytes = Uint8Array.from(Buffer.from(b64, "base64"));
  if (dtype === "f64") return { shape, data: new Float64Array(bytes.buffer) };
  return { shape, data: dtype === "i32" ? new Int32Array(bytes.buffer) : new Float32Array(bytes.buffer) };
}

/** The arrays by name, as values; float64 is rounded to float32. */
export function decodeAll(arrays: Record<string, Encoded>): Record<string, Values> {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, encoded]) => {
      const { shape, data } = decode(encoded);
      return [name, { shape, data: data instanceof Float64Array ? Float32Array.from(data) : data }];
    }),
  );
}
