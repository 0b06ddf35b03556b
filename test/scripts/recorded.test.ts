import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  assertReadable,
  type RecordableStep,
  type RecordOptions,
  recordedSteps,
} from "../../scripts/common/recorded.ts";
import { type Checkpoint, type Gpu, readCheckpoint } from "../../src/index.ts";

let folder: string;
let notes: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-recorded-"));
  notes = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    notes += text;
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const gpu = { choice: { description: "a GPU" } } as Gpu;

interface Asked extends Partial<RecordOptions> {
  /** Of the loop. */
  readonly until: number;
  /** As the recorder is told. */
  readonly steps?: number;
  readonly seed?: number;
  /** What to do in a step. */
  readonly meanwhile?: (step: number) => Promise<void>;
  readonly signalAt?: number;
}

/** The steps that a loop without a GPU was seen to do. */
async function run({
  until,
  steps = until,
  seed = 0,
  meanwhile,
  signalAt,
  ...flags
}: Asked): Promise<number[]> {
  async function* begin(resume: Checkpoint | undefined): AsyncGenerator<RecordableStep> {
    for (let index = (resume?.step ?? 0) + 1; index <= until; index++) {
      await meanwhile?.(index);
      const checkpoint = async () => ({ step: index, reshuffles: 0, of: {}, state: {} });
      const signal = index === signalAt ? ("SIGTERM" as const) : undefined;
      yield { index, latest: index, signal, checkpoint };
      if (signal !== undefined) return;
    }
  }
  const about = { name: "x", out: folder, settings: { seed } };
  const seen: number[] = [];
  const all = recordedSteps(begin, { gpu, steps }, { resume: false, ...flags }, about, async () => ({}));
  for await (const { index } of all) seen.push(index);
  return seen;
}

const file = (name: string) => join(folder, `x-${name}`);
const stepsIn = async (name: string) =>
  (await readFile(file(name), "utf8"))
    .split("\n")
    .flatMap((line) => (line ? (JSON.parse(line).step ?? []) : []));

test("a finished run can be resumed: its last step is done again, and more of them", async () => {
  expect(await run({ until: 4 })).toEqual([1, 2, 3, 4]);
  expect((await readCheckpoint(file("checkpoint.npz"))).checkpoint.step).toBe(3);
  expect(await run({ until: 4, resume: true })).toEqual([4]);
  expect(await run({ until: 6, resume: true })).toEqual([4, 5, 6]);
  expect(await stepsIn("log.jsonl")).toEqual([1, 2, 3, 4, 5, 6]);
});

test("a loop that finds its end itself leaves a checkpoint of it", async () => {
  await run({ until: 3, steps: Number.POSITIVE_INFINITY });
  expect((await readCheckpoint(file("checkpoint.npz"))).checkpoint.step).toBe(3);
});

test("a log that is not gone on with is kept, with or without a checkpoint, with or without --resume", async () => {
  await run({ until: 5 });
  await run({ until: 1, seed: 7 });
  expect(notes).toContain(`kept as ${file("checkpoint-before.npz")} and ${file("log-before.jsonl")}\n`);
  expect(await stepsIn("log-before.jsonl")).toEqual([1, 2, 3, 4, 5]);
  expect((await readdir(folder)).includes("x-checkpoint.npz")).toBe(false);
  await run({ until: 2, seed: 8, resume: true });
  expect(notes).toContain(`kept as ${file("log-before.jsonl")}\n`);
  expect(await stepsIn("log-before.jsonl")).toEqual([1]);
  expect(await stepsIn("log.jsonl")).toEqual([1, 2]);
});

test("a checkpoint or a log that cannot be written is told of before the first step, and nothing is moved", async () => {
  await run({ until: 2 });
  const before = await readdir(folder);
  for (const flags of [{ checkpoint: folder }, { log: folder }])
    await expect(run({ until: 2, ...flags })).rejects.toThrow(`cannot write ${folder}: it is a folder`);
  expect(await readdir(folder)).toEqual(before);
});

test("where a checkpoint fails later, the run goes on to its results, also on SIGTERM", async () => {
  const meanwhile = async (step: number) => {
    if (step === 1) await mkdir(file("checkpoint.npz"));
  };
  expect(await run({ until: 9, signalAt: 3, checkpointEvery: 2, meanwhile })).toEqual([1, 2, 3]);
  const failed = `cannot write ${file("checkpoint.npz")}: it is a folder; going on without this checkpoint\n`;
  expect(notes).toBe(failed + failed);
});

test("results that are made of the log are refused where --log names a device, before the run", async () => {
  await assertReadable({ resume: false });
  await assertReadable({ resume: false, log: "/nowhere/yet.jsonl" });
  await expect(assertReadable({ resume: false, log: "/dev/null" })).rejects.toThrow(
    "--log /dev/null cannot be read back, and the results are made of the log: name a file",
  );
});
