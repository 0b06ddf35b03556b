import type { Block, Role } from "./block.ts";
import { MemoryError } from "./errors.ts";

/** Bytes by role, and their sum. */
export type MemoryReport = Partial<Record<Role, number>> & { total: number };

export interface MemoryLimits {
  /** Largest single buffer, bytes (`maxBufferSize`). */
  readonly buffer: number;
  /** Largest part of a buffer that one binding can see, bytes (`maxStorageBufferBindingSize`). */
  readonly binding: number;
  /** Most bytes that a plan may take in all; unlimited when absent. */
  readonly total?: number;
}

export function memoryReport(blocks: Iterable<Block>): MemoryReport {
  const report: MemoryReport = { total: 0 };
  for (const block of blocks) {
    report[block.role] = (report[block.role] ?? 0) + block.bytes;
    report.total += block.bytes;
  }
  return report;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return `${unit === 0 ? bytes : (bytes / 1024 ** unit).toFixed(1)} ${units[unit]}`;
}

export function formatReport(report: MemoryReport): string {
  const parts = Object.entries(report)
    .filter(([role]) => role !== "total")
    .map(([role, bytes]) => `${role} ${formatBytes(bytes)}`);
  return `${formatBytes(report.total)} (${parts.join(", ")})`;
}

/** Says what would fit instead of a plan that was refused, given its bytes and the limits. */
export type Advice = (report: MemoryReport, limits: MemoryLimits) => string;

/**
 * Refuses blocks that cannot be had, before any is allocated.
 * @throws MemoryError with the numbers, and with what would fit instead.
 */
export function assertFits(blocks: readonly Block[], limits: MemoryLimits, advice?: Advice): void {
  const report = memoryReport(blocks);
  const problems: string[] = [];
  for (const block of blocks) {
    const limit = block.role === "trajectory" ? limits.buffer : Math.min(limits.buffer, limits.binding);
    if (block.bytes > limit) {
      problems.push(
        `${block.label} (${block.role}) takes ${formatBytes(block.bytes)}, one buffer may hold ${formatBytes(limit)}`,
      );
    }
  }
  if (limits.total !== undefined && report.total > limits.total) {
    problems.push(`the plan takes ${formatReport(report)}, allowed are ${formatBytes(limits.total)}`);
  }
  if (problems.length === 0) return;
  const hint = advice?.(report, limits);
  throw new MemoryError(`${problems.join("; ")}.${hint ? ` ${hint}` : ""}`);
}
