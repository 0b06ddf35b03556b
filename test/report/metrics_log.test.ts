import { appendFile, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MetricsLog } from "../../src/report/metrics_log.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-log-"));
});
afterEach(() => rm(folder, { recursive: true }));

const path = () => join(folder, "deep", "log.jsonl");

/** The lines without their times, which are checked. */
async function lines(): Promise<object[]> {
  const text = await readFile(path(), "utf8");
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { time, ...rest } = JSON.parse(line) as { time: string };
      expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
      return rest;
    });
}

const heading = { settings: { noise: 0.5 }, adapter: "a GPU" };

async function threeSteps(): Promise<void> {
  const log = await MetricsLog.begin(path(), heading);
  for (const step of [1, 2, 3]) await log.add({ step, outerLoss: 1 / step });
}

test("a line as soon as it is added", async () => {
  const log = await MetricsLog.begin(path(), heading);
  expect(await lines()).toEqual([heading]);
  await log.add({ step: 1, outerLoss: 0.1 });
  expect(await lines()).toEqual([heading, { step: 1, outerLoss: 0.1 }]);
});

test("a log that goes on has each step once, also after a line cut short", async () => {
  await threeSteps();
  await appendFile(path(), '{"step":4,"outer');
  const log = await MetricsLog.resume(path(), 2, heading);
  await log.add({ resumed: 2 });
  await log.add({ step: 3, outerLoss: 7 });
  const first = [heading, { step: 1, outerLoss: 1 }, { step: 2, outerLoss: 0.5 }];
  expect(await lines()).toEqual([...first, { resumed: 2 }, { step: 3, outerLoss: 7 }]);
  await MetricsLog.resume(path(), 1, heading);
  expect(await lines()).toEqual(first.slice(0, 2));
});

test("a new run replaces an old log; one that goes on without a log begins it", async () => {
  await threeSteps();
  await MetricsLog.begin(path(), heading);
  expect(await lines()).toEqual([heading]);
  await rm(path());
  await MetricsLog.resume(path(), 2, heading);
  expect(await lines()).toEqual([heading]);
});

test("a device has no lines to go on with", async () => {
  const log = await MetricsLog.resume("/dev/null", 2, heading);
  await log.add({ step: 3 });
  expect((await stat("/dev/null")).isCharacterDevice()).toBe(true);
});
