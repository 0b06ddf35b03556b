import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hypergrad, root } from "./launcher.ts";

const fixture = join(root, "test/cli/fixtures/stretch.ts");

interface Profiled {
  estimators: {
    estimator: string;
    dispatches: number;
    dispatchesPerInnerStep: number;
    wall: number;
    gpu: number;
    shares: { kernel: string; dispatches: number; milliseconds: number; percent: number }[];
  }[];
}

interface TraceEvent {
  ph: "X" | "M";
  pid: number;
  tid: number;
  ts: number;
  dur: number;
}

test("profile tells where an outer step's time goes, and writes a trace", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hypergrad-profile-"));
  try {
    const trace = join(folder, "trace.json");
    const flags = ["--estimators", "rmd,greedy:0.5", "--samples", "2", "--trace", trace, "--json"];
    const { code, stdout } = await hypergrad(["profile", fixture, ...flags, "--steps", "4"]);
    expect(code).toBe(0);
    const { estimators } = JSON.parse(stdout.trim().split("\n").at(-1)!) as Profiled;
    expect(estimators.map(({ estimator }) => estimator)).toEqual(["rmd", "greedy(0.5)"]);
    const { traceEvents } = JSON.parse(await readFile(trace, "utf8")) as { traceEvents: TraceEvent[] };
    for (const [pid, { dispatches, dispatchesPerInnerStep, wall, gpu, shares }] of estimators.entries()) {
      expect(shares.reduce((sum, share) => sum + share.dispatches, 0)).toBe(dispatches);
      expect(dispatchesPerInnerStep).toBeLessThan(dispatches);
      for (const value of [wall, gpu]) expect(value).toBeGreaterThan(0);
      const own = traceEvents.filter((event) => event.pid === pid && event.ph === "X");
      const [host, device] = [2 * pid, 2 * pid + 1].map((tid) => own.filter((event) => event.tid === tid));
      expect(host).toHaveLength(2);
      expect(device).toHaveLength(dispatches);
      for (const [k, event] of device!.entries()) {
        expect(event.dur).toBeGreaterThanOrEqual(0);
        if (k > 0) expect(event.ts).toBeGreaterThanOrEqual(device![k - 1]!.ts);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a trace that cannot be written is told of before anything is measured", async () => {
  const { code, stdout, stderr } = await hypergrad(["profile", fixture, "--trace", root]);
  expect({ code, stdout, stderr }).toEqual({
    ...{ code: 1, stdout: "" },
    stderr: `error: cannot write ${root}: it is a folder\n`,
  });
});

test("wrong flags are exit code 2", async () => {
  for (const flags of [
    ["--samples", "0"],
    ["--estimators", "rdm"],
  ]) {
    const { code, stderr } = await hypergrad(["profile", fixture, ...flags]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(flags[1]!)]);
  }
});
