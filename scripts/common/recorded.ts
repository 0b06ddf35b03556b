/** The outer loop of a long run: its metrics in a log as they come, checkpoints, and the way back to them. */
import { message, text } from "@optique/core/message";
import { optional } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { path, positiveInteger } from "../../src/host/arguments.ts";
import { interruptCode } from "../../src/host/interrupt.ts";
import {
  assertWritable,
  type Checkpoint,
  exists,
  finish,
  type Gpu,
  isSpecial,
  MetricsLog,
  note,
  type Problem,
  type RunSettings,
  readCheckpoint,
  readFile,
  setAside,
  UsageError,
  writeCheckpoint,
} from "../../src/index.ts";
import { type FollowedStep, type FollowOptions, followed } from "./learn.ts";

const MINUTES = 5;

/** `--checkpoint`, `--checkpoint-every`, `--resume`, `--log`; `name` is that of the run's files. */
export const recordFlags = (name: string) => ({
  checkpoint: optional(
    option("--checkpoint", path("FILE"), {
      description: message`where the run can be taken up again: written every ${text(String(MINUTES))} minutes, on Ctrl-C or SIGTERM, and before the last step [${text(files(name, "DIR").checkpoint)} with --out DIR]`,
    }),
  ),
  checkpointEvery: optional(
    option("--checkpoint-every", positiveInteger("N"), {
      description: message`write it every N outer steps instead`,
    }),
  ),
  resume: option("--resume", {
    description: message`go on from the checkpoint, to the same bits as without a break; from the start where there is none yet. A run that starts anew keeps the checkpoint and the log of an earlier one as FILE-before, in place of any that were kept so`,
  }),
  log: optional(
    option("--log", path("FILE"), {
      description: message`the loss and more of each outer step, as JSON lines [${text(files(name, "DIR").log)}]`,
    }),
  ),
});

export interface RecordOptions {
  readonly checkpoint?: string | undefined;
  readonly checkpointEvery?: number | undefined;
  readonly resume: boolean;
  readonly log?: string | undefined;
}

/** Where the files of a run are when no flag names them. */
function files(name: string, folder: string): { checkpoint: string; log: string } {
  return { checkpoint: `${folder}/${name}-checkpoint.npz`, log: `${folder}/${name}-log.jsonl` };
}

/** Without the flags above, which do not change what a run computes. */
export function withoutRecording<T extends RecordOptions>(options: T): Omit<T, keyof RecordOptions> {
  const { checkpoint: _, checkpointEvery: _every, resume: _resume, log: _log, ...rest } = options;
  return rest;
}

/** What a run is called, and what it was asked for. */
export interface Run {
  readonly name: string;
  /** The folder of its files. */
  readonly out: string;
  /** All that decides what it computes, but for the number of outer steps: it may be raised for a longer run. */
  readonly settings: RunSettings;
}

/**
 * The outer steps of `optimize`, recorded; what `measure` makes of a step goes to its line of the log. With `--resume`
 * they start after the checkpoint's. On Ctrl-C the step under way is the last; on SIGTERM the program ends after it
 * with 143. The last checkpoint is of the step before the last one: a finished run that is resumed does that step, and
 * what follows it, again, or goes on from there where it is given more steps. One that cannot be written is told of, and
 * the run goes on.
 * @throws UsageError for the checkpoint of a run with other settings; DataError for a damaged one; Error for a checkpoint
 * or a log that cannot be written, before the first step; what `optimize` throws
 */
export async function* recorded<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: FollowOptions<H>,
  flags: RecordOptions,
  run: Run,
  measure?: (step: FollowedStep<W, H>) => Promise<object>,
): AsyncGenerator<FollowedStep<W, H>> {
  const begin = (resume: Checkpoint | undefined) => followed(problem, { ...options, resume });
  yield* recordedSteps(begin, options, flags, run, async (step) => {
    const {
      index: _,
      latest: _latest,
      signal: _signal,
      isLast: _last,
      memory: _memory,
      lanes,
      ...news
    } = step;
    return { ...news, ...(lanes.length > 1 && { lanes }), ...(await measure?.(step)) };
  });
}

/** What an outer loop of whatever kind tells of a step that can be recorded. */
export type RecordableStep = Pick<FollowedStep<string, string>, "index" | "latest" | "signal" | "checkpoint">;

/**
 * The same for the steps of another outer loop, begun anew or after a checkpoint. Where `steps` is infinite as the loop
 * finds its end itself, its last checkpoint is of the last step.
 * @param lineOf what goes to a step's line of the log
 */
export async function* recordedSteps<Step extends RecordableStep>(
  begin: (resume: Checkpoint | undefined) => AsyncIterable<Step>,
  options: { readonly gpu: Gpu; readonly steps: number },
  flags: RecordOptions,
  { name, out, settings }: Run,
  lineOf: (step: Step) => Promise<object>,
): AsyncGenerator<Step> {
  const { checkpoint: path, log: logPath } = { ...files(name, out), ...given(flags) };
  const adapter = options.gpu.choice.description;
  const saved = flags.resume && (await exists(path)) ? await readCheckpoint(path) : undefined;
  const done = saved?.checkpoint.step ?? 0;
  if (flags.resume && saved === undefined) note(`there is no ${path} yet: starting at outer step 1`);
  if (saved !== undefined) {
    assertSameSettings(path, saved.settings, settings);
    if (done >= options.steps)
      throw new UsageError(`${path} is of a run with ${done} outer steps done: give more --outer-steps`);
    const other = saved.adapter === adapter ? "" : `; it ran on ${saved.adapter}, so bits may differ`;
    note(`going on after outer step ${done}, from ${path}${other}`);
  }
  for (const file of [path, logPath]) await assertWritable(file);
  if (saved === undefined) await keepEarlier(path, logPath);
  const heading = { settings, adapter };
  const log = saved
    ? await MetricsLog.resume(logPath, done, heading)
    : await MetricsLog.begin(logPath, heading);
  if (saved) await log.add({ resumed: done, adapter });

  let [lastStep, lastTime] = [done, performance.now()];
  const save = async (step: Step): Promise<boolean> => {
    const checkpoint = await step.checkpoint();
    [lastStep, lastTime] = [step.index, performance.now()];
    return writeCheckpoint(path, { checkpoint, settings, adapter }).then(
      () => true,
      (error: Error) => {
        note(`${error.message}; going on without this checkpoint`);
        return false;
      },
    );
  };
  const isDue = (step: number) => {
    if (step === options.steps - 1) return true;
    if (flags.checkpointEvery !== undefined) return step - lastStep >= flags.checkpointEvery;
    return performance.now() - lastTime >= MINUTES * 60_000;
  };
  let last: Step | undefined;
  for await (const step of begin(saved?.checkpoint)) {
    last = step;
    const { index, latest, signal } = step;
    await log.add({ step: index, ...(await lineOf(step)) });
    if (index === latest && index < options.steps && (signal !== undefined || isDue(index))) {
      const isSaved = await save(step);
      if (signal !== undefined && isSaved) {
        note(`stopped after outer step ${index}: --resume goes on from ${path}`);
        if (signal === "SIGTERM") await finish(interruptCode());
      }
    }
    yield step;
  }
  if (options.steps === Number.POSITIVE_INFINITY && last !== undefined && last.index > lastStep)
    await save(last);
}

/**
 * A new run beside the checkpoint of an earlier one would be mixed with it by a later --resume; and who forgot
 * --resume can still go back. A run that was ended before its first checkpoint has left a log alone.
 */
async function keepEarlier(checkpoint: string, log: string): Promise<void> {
  const kept = [await setAside(checkpoint), await setAside(log)].filter((name) => name !== undefined);
  if (kept.length > 0) note(`starting anew; what an earlier run left there is kept as ${kept.join(" and ")}`);
}

/** For what is made of a log's lines at the end. @throws UsageError where --log names a device or a pipe */
export async function assertReadable({ log }: RecordOptions): Promise<void> {
  if (log === undefined || !(await isSpecial(log))) return;
  throw new UsageError(`--log ${log} cannot be read back, and the results are made of the log: name a file`);
}

/** The lines of a run's log so far, those before a break too. */
export async function logged(
  flags: RecordOptions,
  { name, out }: Pick<Run, "name" | "out">,
): Promise<Readonly<Record<string, unknown>>[]> {
  const { log } = { ...files(name, out), ...given(flags) };
  const text = new TextDecoder().decode(await readFile(log));
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** Of the log's lines, those that have several numbers under `name`: the outer step and the numbers. */
export async function scoresLogged(
  flags: RecordOptions,
  run: Pick<Run, "name" | "out">,
  name: string,
): Promise<{ outerStep: number; each: readonly number[] }[]> {
  return (await logged(flags, run)).flatMap(({ step, [name]: each }) =>
    Array.isArray(each) ? [{ outerStep: Number(step), each }] : [],
  );
}

function given({ checkpoint, log }: RecordOptions): { checkpoint?: string; log?: string } {
  return { ...(checkpoint !== undefined && { checkpoint }), ...(log !== undefined && { log }) };
}

function assertSameSettings(path: string, theirs: RunSettings, ours: RunSettings): void {
  const names = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])];
  const differences = names
    .filter((name) => name !== "outerSteps" && JSON.stringify(theirs[name]) !== JSON.stringify(ours[name]))
    .map((name) => `${name} is ${theirs[name] ?? "not set"} there and ${ours[name] ?? "not set"} here`);
  if (differences.length === 0) return;
  throw new UsageError(
    `${path} is of another run: ${differences.join(", ")}. Give the same flags, or start without --resume`,
  );
}
