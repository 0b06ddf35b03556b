import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { type Ended, type HypergradOptions, hypergrad } from "../cli/launcher.ts";

interface Estimate {
  mean: number;
  halfWidth?: number;
  each: number[];
}

/** What a script that learns over tasks prints with --json. */
export interface MetaResult {
  rows: ({
    estimator: string;
    outerStepsDone: number;
    before: Estimate;
    after: Estimate;
    scores: { outerStep: number; mean: number; halfWidth?: number }[];
    msPerOuterStep?: number;
    bytes?: Record<string, number>;
  } & Record<string, unknown>)[];
}

export const resultOf = ({ stdout }: Ended): MetaResult => JSON.parse(stdout.trim().split("\n").at(-1)!);

/**
 * Runs a script with these flags, but for those that a test gives itself; its files go to a folder that is removed in the
 * end.
 */
export function script(name: string, small: Readonly<Record<string, string>>) {
  const place = { folder: "" };
  beforeAll(async () => {
    place.folder = await mkdtemp(join(tmpdir(), `hypergrad-${name}-`));
  });
  afterAll(() => rm(place.folder, { recursive: true }));
  const run = (flags: readonly string[], options?: HypergradOptions, out = "out"): Promise<Ended> =>
    hypergrad(["run", name, ...others(flags), "--out", join(place.folder, out), ...flags], options);
  const others = (flags: readonly string[]) =>
    Object.entries(small)
      .filter(([flag]) => !flags.includes(flag))
      .flat();
  return { run, place };
}
