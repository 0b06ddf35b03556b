import type { Sequence } from "../gpu/dispatch.ts";
import type { Executable } from "../gpu/executable.ts";
import { Gpu } from "../gpu/gpu.ts";
import { runtime } from "../host/runtime.ts";
import { note } from "../host/terminal.ts";

/** The best adapter, with exact timestamps where Dawn can be told, and these toggles besides. */
export async function openForTiming(toggles: readonly string[]): Promise<Gpu> {
  // Dawn rounds timestamps to 65.5 µs unless told not to.
  const exact = runtime() === "node" ? ["-timestamp_quantization"] : [];
  const gpu = await Gpu.open({ toggles: [...exact, ...toggles] });
  if (!gpu.device.features.has("timestamp-query")) {
    note(`${gpu.choice.description} has no timestamps here: all times are wall times`);
  }
  return gpu;
}

export interface Effort {
  /** Passes measured, after warm-up. */
  readonly samples: number;
  /** A short sequence is repeated until a pass takes this long, so that the clock's resolution does not matter. */
  readonly milliseconds: number;
}

/** Microseconds of one run of a sequence. */
export interface Times {
  /** By timestamps around the pass: median, and the fastest. Absent where the adapter has no timestamps. */
  readonly gpu?: number;
  readonly fastest?: number;
  /** From submit until the host hears of the end: median. */
  readonly wall: number;
  /** Runs a pass. */
  readonly repeats: number;
}

const MOST_REPEATS = 2048;

const onGpu = async (executable: Executable, pass: readonly Sequence[]) =>
  (await executable.time(...pass)) / 1e3;

async function onHost(executable: Executable, pass: readonly Sequence[]): Promise<number> {
  const start = performance.now();
  executable.run(...pass);
  await executable.gpu.settle();
  return 1e3 * (performance.now() - start);
}

/** Microseconds of one pass: of the GPU, or where it does not tell, until the host hears of the end. */
export const passTime = (executable: Executable, pass: readonly Sequence[]): Promise<number> =>
  (executable.gpu.device.features.has("timestamp-query") ? onGpu : onHost)(executable, pass);

/** Times `sequences`, run one after another as a whole. */
export async function measure(
  executable: Executable,
  sequences: readonly Sequence[],
  { samples, milliseconds }: Effort,
): Promise<Times> {
  const { gpu } = executable;
  const timestamps = gpu.device.features.has("timestamp-query");
  const repeated = (repeats: number) => Array.from({ length: repeats }, () => sequences).flat();

  await onHost(executable, repeated(1));
  let repeats = 1;
  for (;;) {
    const taken = await passTime(executable, repeated(repeats));
    const wanted = 1e3 * milliseconds;
    if (taken >= wanted / 2 || repeats === MOST_REPEATS) break;
    const guess = Math.ceil((repeats * wanted) / Math.max(taken, 1));
    repeats = Math.min(MOST_REPEATS, Math.max(2 * repeats, Math.min(guess, 32 * repeats)));
  }
  const list = repeated(repeats);
  const inside: number[] = [];
  const outside: number[] = [];
  for (let i = 0; i < samples; i++) {
    if (timestamps) inside.push((await onGpu(executable, list)) / repeats);
    outside.push((await onHost(executable, list)) / repeats);
  }
  return {
    ...(timestamps ? { gpu: median(inside), fastest: Math.min(...inside) } : {}),
    wall: median(outside),
    repeats,
  };
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
