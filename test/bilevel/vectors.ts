import { type Values, values } from "../../src/graph/values.ts";

export type Vector = Readonly<Record<string, Values>>;

/** All numbers of a vector, group after group. */
export function numbers(vector: Vector): number[] {
  return Object.values(vector).flatMap(({ data }) => [...data]);
}

/** The bits of a vector. */
export function bits(vector: Vector): string {
  return Object.entries(vector)
    .map(
      ([name, { data }]) =>
        `${name}:${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex")}`,
    )
    .join(" ");
}

export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

export function norm(a: readonly number[]): number {
  return Math.sqrt(dot(a, a));
}

/** ‖a - b‖ / ‖b‖; ‖a‖ where b = 0. */
export function relativeError(a: readonly number[], b: readonly number[]): number {
  return norm(a.map((value, i) => value - b[i]!)) / (norm(b) || 1);
}

/** x + h d, group by group. */
export function along(x: Vector, h: number, d: Vector): Record<string, Values> {
  const moved = Object.entries(x).map(([name, { shape, data }]) => {
    const step = d[name]!.data;
    return [
      name,
      values(
        Float32Array.from(data, (value, i) => value + h * step[i]!),
        shape,
      ),
    ] as const;
  });
  return Object.fromEntries(moved);
}
