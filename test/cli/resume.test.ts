import { mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decodeCheckpoint } from "../../src/report/checkpoint.ts";
import { type Ended, hypergrad } from "./launcher.ts";

const STEPS = 84;
const EVERY = 7;
const flags = [
  ...["--train", "100", "--val", "100", "--test", "100", "--inner-steps", "6", "--momentum", "0.5"],
  ...["--estimator", "greedy", "--outer-steps", String(STEPS), "--checkpoint-every", String(EVERY)],
  ...["--resume", "--json"],
];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hypergrad-resume-"));
});
afterAll(() => rm(folder, { recursive: true }));

const file = (out: string, name: string) => join(folder, out, `hypercleaning-${name}`);

/** Runs the script; with `signal`, that is sent once the log has so many lines more than at the start. */
async function run(
  out: string,
  more: readonly string[] = [],
  signal?: { name: "SIGKILL" | "SIGTERM"; after: number },
): Promise<Ended> {
  const before = (await log(out)).length;
  let watch: NodeJS.Timeout | undefined;
  const ended = await hypergrad(
    ["run", "scripts/hypercleaning.ts", "--out", join(folder, out), ...flags, ...more],
    {
      onStart(child) {
        if (!signal) return;
        let sent = false;
        watch = setInterval(async () => {
          const lines = (await log(out)).length;
          // Reads overlap where the machine is slow, and a second signal would end the program at once.
          if (sent || lines < before + signal.after) return;
          sent = true;
          clearInterval(watch);
          child.kill(signal.name);
        }, 5);
      },
    },
  );
  clearInterval(watch);
  return ended;
}

/** The lines, without what the clock says. */
async function log(out: string): Promise<{ step?: number; resumed?: number }[]> {
  const text = await readFile(file(out, "log.jsonl"), "utf8").catch(() => "");
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const { time: _, milliseconds: _ms, ...rest } = JSON.parse(line);
      return rest;
    });
}

const stepsOf = async (out: string) => (await log(out)).filter(({ step }) => step !== undefined);

test("killed, resumed, told to end, resumed: the bits of a run without a break", async () => {
  const whole = await run("whole");
  expect(whole.stderr).toContain("starting at outer step 1\n");
  expect(whole.code).toBe(0);

  const killed = await run("broken", [], { name: "SIGKILL", after: 25 });
  expect(killed).toMatchObject({ code: null, stdout: "" });
  const first = (await stepsOf("broken")).length;
  expect(first).toBeLessThan(STEPS);

  const ended = await run("broken", [], { name: "SIGTERM", after: 20 });
  const kept = first - (first % EVERY);
  expect(ended.stderr).toContain(
    `going on after outer step ${kept}, from ${file("broken", "checkpoint.npz")}\n`,
  );
  const stopped = (await stepsOf("broken")).length;
  expect(ended.stderr).toContain(`stopped after outer step ${stopped}: --resume goes on`);
  expect(ended).toMatchObject({ code: 143, stdout: "" });
  expect(stopped).toBeLessThan(STEPS);

  const resumed = await run("broken");
  expect(resumed.code).toBe(0);
  const found = JSON.parse(await readFile(file("broken", "weights.json"), "utf8"));
  const wanted = JSON.parse(await readFile(file("whole", "weights.json"), "utf8"));
  expect(found).toEqual(wanted);
  expect(new Set(Array.from(wanted.lambda)).size).toBeGreaterThan(50);
  const { msPerOuterStep: _, ...result } = JSON.parse(resumed.stdout);
  const { msPerOuterStep: _ms, ...expected } = JSON.parse(whole.stdout);
  expect(result).toEqual(expected);

  expect(await stepsOf("broken")).toEqual(await stepsOf("whole"));
  expect((await log("broken"))[0]).toMatchObject({ settings: { estimator: "greedy(0.9)", noise: 0.5 } });
  const breaks = (await log("broken")).flatMap((line) => line.resumed ?? []);
  expect(breaks).toEqual([kept, stopped]);
  console.log(
    `broken after outer steps ${first} and ${stopped} of ${STEPS}, resumed after ${breaks.join(" and ")}`,
  );

  const last = (out: string) => readFile(file(out, "checkpoint.npz"));
  const [a, b] = await Promise.all(["broken", "whole"].map(last));
  expect(decodeCheckpoint(a!, "broken").checkpoint.step).toBe(STEPS - 1);
  expect(decodeCheckpoint(b!, "whole").checkpoint.step).toBe(STEPS - 1);
});

test("a checkpoint of other flags is refused, and stays", async () => {
  const { mtimeMs } = await stat(file("whole", "checkpoint.npz"));
  const { code, stderr } = await run("whole", ["--noise", "0.2"]);
  expect(stderr).toMatch(/error: .*checkpoint\.npz is of another run: noise is 0\.5 there and 0\.2 here/);
  expect(code).toBe(2);
  expect((await stat(file("whole", "checkpoint.npz"))).mtimeMs).toBe(mtimeMs);
});

test("a fresh start keeps the earlier run under other names, to which --resume can still go back", async () => {
  const bytes = await readFile(file("whole", "checkpoint.npz"));
  const lines = await log("whole");
  const fresh = flags.flatMap((flag) => (flag === "--resume" ? [] : flag === String(STEPS) ? "1" : flag));
  const { code, stderr } = await hypergrad([
    ...["run", "scripts/hypercleaning.ts", "--out", join(folder, "whole"), ...fresh],
  ]);
  expect(code).toBe(0);
  expect(stderr).toContain(
    `kept as ${file("whole", "checkpoint-before.npz")} and ${file("whole", "log-before.jsonl")}\n`,
  );
  const isThere = (name: string) => stat(file("whole", name)).then(Boolean, () => false);
  expect(await isThere("checkpoint.npz")).toBe(false);
  expect(await stepsOf("whole")).toHaveLength(1);
  expect(await readFile(file("whole", "checkpoint-before.npz"))).toEqual(bytes);
  await rename(file("whole", "checkpoint-before.npz"), file("whole", "checkpoint.npz"));
  await rename(file("whole", "log-before.jsonl"), file("whole", "log.jsonl"));
  expect((await run("whole")).code).toBe(0);
  expect((await log("whole")).filter(({ resumed }) => resumed === undefined)).toEqual(
    lines.filter(({ resumed }) => resumed === undefined),
  );
});
