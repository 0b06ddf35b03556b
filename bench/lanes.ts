// Inner problems side by side: one outer step of n lanes beside n outer steps of one lane, in the same run; and what
// new tasks for every outer step cost.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { optimize } from "../src/bilevel/optimize.ts";
import { OuterLoop } from "../src/bilevel/outer_loop.ts";
import { adam } from "../src/bilevel/outer_optimizer.ts";
import {
  type Effort,
  gpuRuns,
  hostRuns,
  inTurns,
  median,
  openForTiming,
  type Runs,
} from "../src/diagnostics/measure.ts";
import { formatBytes } from "../src/gpu/memory.ts";
import { parseArguments, positiveInteger } from "../src/host/arguments.ts";
import { progress } from "../src/host/terminal.ts";
import { digits } from "../src/report/digits.ts";
import { table } from "../src/report/table.ts";
import { names, outputFlags, timingFlags, wholeNumbers } from "./flags.ts";
import { type LaneCase, laneCases } from "./lane_cases.ts";
import { about, deliver } from "./result.ts";
import { warmUp } from "./warm_up.ts";

const options = await parseArguments(
  "hypergrad bench lanes",
  object({
    lanes: optional(
      option("--lanes", string({ metavar: "LIST" }), {
        description: message`Numbers of lanes, up to 4096 [1,8,32, quick 1,4].`,
      }),
    ),
    samples: optional(
      option("--samples", positiveInteger(), {
        description: message`Samples taken, each of as many outer steps as fill 20 ms, quick 1 ms [7, quick 1].`,
      }),
    ),
    ...timingFlags,
    ...outputFlags,
  }),
  { description: "Times one outer step of n lanes beside n outer steps of one lane." },
);
const { quick } = options;
const counts = wholeNumbers("--lanes", options.lanes ?? (quick ? "1,4" : "1,8,32"));
const effort: Effort = { samples: options.samples ?? (quick ? 1 : 7), milliseconds: quick ? 1 : 20 };
/** Most steps of one lane that are run for a comparison; of more lanes, as many are taken to take. */
const BURST = 32;

const gpu = await openForTiming(names(options.toggles));

interface Times {
  /** Milliseconds: by timestamps, and until the log is on the host. Medians. */
  readonly gpu: number | null;
  readonly wall: number;
}

interface Row {
  readonly problem: string;
  readonly lanes: number;
  /** One outer step of all lanes. */
  readonly together: Times;
  /** As many outer steps of one lane, with one readback after them. */
  readonly alone: Times;
  /** alone / together */
  readonly ratio: Times;
  /** An outer step with new tasks, sampled while the one before runs; and the sampling alone. Milliseconds, medians. */
  readonly streamed: { readonly wall: number; readonly sampling: number } | null;
  readonly bytes: number;
}

const total = laneCases.length * counts.length;
const bar = progress({ total, label: "numbers of lanes" });
const rows: Row[] = [];
for (const one of laneCases) {
  const burst = Math.min(Math.max(...counts), BURST);
  const single = await OuterLoop.prepare(one.problem(1), { gpu, ...outer(one), every: burst });
  try {
    for (const lanes of counts) {
      bar.update(rows.length, { now: `${lanes} of ${one.name}` });
      rows.push(await measure(one, lanes, single));
    }
  } finally {
    single.destroy();
  }
}
bar.update(rows.length);
bar.stop();

function outer({ estimator }: LaneCase) {
  return { estimator, optimizer: adam({ lr: 1e-3 }) };
}

async function measure(one: LaneCase, lanes: number, single: OuterLoop<string, string>): Promise<Row> {
  const loop = await OuterLoop.prepare(one.problem(lanes), { gpu, ...outer(one) });
  try {
    const steps = Math.min(lanes, BURST);
    const stepAlone = async () => {
      for (let k = 1; k <= steps; k++) await single.step({ restart: true, news: k === steps });
    };
    const stepTogether = () => loop.step({ restart: true });
    await stepAlone();
    await warmUp(gpu, stepTogether);
    const times = await inTurns(
      {
        togetherOnGpu: stepOnGpu(loop),
        together: hostRuns(stepTogether),
        aloneOnGpu: stepOnGpu(single),
        alone: hostRuns(stepAlone),
      },
      effort,
    );
    const together = medians(times.togetherOnGpu, times.together);
    const each = medians(times.aloneOnGpu, times.alone);
    const alone = { gpu: each.gpu && each.gpu * lanes, wall: each.wall * (lanes / steps) };
    return {
      problem: one.name,
      lanes,
      together,
      alone,
      ratio: {
        gpu: together.gpu === null || alone.gpu === null ? null : alone.gpu / together.gpu,
        wall: alone.wall / together.wall,
      },
      streamed: one.data ? await stream(one, lanes, one.data) : null,
      bytes: loop.memory.total,
    };
  } finally {
    loop.destroy();
  }
}

async function stream(
  one: LaneCase,
  lanes: number,
  data: NonNullable<LaneCase["data"]>,
): Promise<Row["streamed"]> {
  const sample = async (step: number) => data(lanes, step);
  // It is left when it was timed.
  const steps = optimize(one.problem(lanes), {
    gpu,
    ...outer(one),
    steps: Number.MAX_SAFE_INTEGER,
    data: sample,
  });
  try {
    const step = () => steps.next();
    await warmUp(gpu, step);
    const times = await inTurns({ wall: hostRuns(step), sampling: hostRuns(() => sample(1)) }, effort);
    return { wall: median(times.wall) / 1e3, sampling: median(times.sampling) / 1e3 };
  } finally {
    await steps.return(undefined);
  }
}

function stepOnGpu({ executable, sequences }: OuterLoop<string, string>): Runs | undefined {
  const { begin, main, update } = sequences;
  return gpuRuns(executable, [begin, main, update]);
}

/** Of microseconds. */
function medians(gpu: readonly number[], wall: readonly number[]): Times {
  return { gpu: gpu.length > 0 ? median(gpu) / 1e3 : null, wall: median(wall) / 1e3 };
}

await deliver(
  { ...(await about("lanes", gpu.choice.description)), toggles: gpu.choice.toggles, effort, rows },
  options,
  ({ adapter }) =>
    [
      `${adapter}; milliseconds, medians of ${effort.samples}`,
      ...laneCases.map(({ name }) =>
        table(
          [name, "GPU", "alone", "ratio", "wall", "alone", "ratio", "new tasks: wall", "sampling", "bytes"],
          rows
            .filter(({ problem }) => problem === name)
            .map(({ lanes, together, alone, ratio, streamed, bytes }) => [
              `${lanes} lane${lanes > 1 ? "s" : ""}`,
              ...[together.gpu, alone.gpu, ratio.gpu, together.wall, alone.wall, ratio.wall].map((value) =>
                digits(value ?? undefined),
              ),
              ...[streamed?.wall, streamed?.sampling].map(digits),
              formatBytes(bytes),
            ]),
        ),
      ),
    ].join("\n\n"),
);
