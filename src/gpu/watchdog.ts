import { type Dispatch, lanesOf } from "./dispatch.ts";

/** What the slowest GPU that is still of use makes of these kernels: operations and bytes a second, seconds a launch. */
const SLOWEST = { flops: 2e10, bytes: 5e9, launch: 2e-5 };

/**
 * Seconds of predicted work in one submit where a watchdog may run: Windows resets a GPU that is busy for 2 s
 * (https://learn.microsoft.com/windows-hardware/drivers/display/timeout-detection-and-recovery), browsers and other
 * drivers wait longer.
 */
export const SUBMIT_SECONDS = 0.5;

/** Seconds that a dispatch takes at most. */
export function slowest({ flops, bytes, grid }: Dispatch): number {
  return SLOWEST.launch + Math.max((flops * lanesOf(grid)) / SLOWEST.flops, bytes / SLOWEST.bytes);
}

/** Parts of a list, in order, each of at most so many seconds or of one item. */
export function cut<T extends { readonly seconds: number }>(items: readonly T[], most: number): T[][] {
  const parts: T[][] = [];
  let left = 0;
  for (const item of items) {
    if (parts.length === 0 || item.seconds > left) {
      parts.push([]);
      left = most;
    }
    parts.at(-1)!.push(item);
    left -= item.seconds;
  }
  return parts;
}
