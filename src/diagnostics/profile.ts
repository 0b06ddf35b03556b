import type { Estimator } from "../bilevel/estimator.ts";
import { OuterLoop } from "../bilevel/outer_loop.ts";
import { adam } from "../bilevel/outer_optimizer.ts";
import type { Problem } from "../bilevel/problem.ts";
import { lanesOf } from "../gpu/dispatch.ts";
import { HypergradError } from "../gpu/errors.ts";
import type { DispatchTime } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { median } from "./measure.ts";
import { bound, type Roofline } from "./roofline.ts";

export interface ProfileOptions {
  readonly gpu: Gpu;
  readonly estimator: Estimator;
  readonly roofline: Roofline;
  /** Outer steps timed. */
  readonly samples?: number;
}

/** The dispatches of an outer step that are of one kind and shape. */
export interface Share {
  readonly kernel: string;
  readonly dispatches: number;
  /** Sum of the medians, each dispatch in a pass of its own, which adds a little. */
  readonly milliseconds: number;
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
  /** Of that time, the part that the roofline's tighter side accounts for. */
  readonly percent: number;
}

/** Where the time of an outer step goes; milliseconds, medians. */
export interface Profile {
  /** T */
  readonly steps: number;
  readonly dispatches: number;
  readonly dispatchesPerInnerStep: number;
  /** From submit until its loss is on the host. */
  readonly wall: number;
  /** All dispatches in one pass. */
  readonly gpu: number;
  /** As many dispatches that do nothing. */
  readonly launches: number;
  /** The host records the commands, which a run of steps does while the step before is at work. */
  readonly recording: number;
  /** The longest first. */
  readonly shares: readonly Share[];
  /** One outer step, dispatch by dispatch. */
  readonly events: readonly DispatchTime[];
}

/**
 * Times outer steps, which move α by nothing to speak of, as wholes and dispatch by dispatch.
 * @throws HypergradError without timestamps; what `optimize` throws
 */
export async function profile(
  problem: Problem,
  { gpu, estimator, roofline, samples = 5 }: ProfileOptions,
): Promise<Profile> {
  if (!gpu.device.features.has("timestamp-query")) {
    throw new HypergradError(
      `${gpu.choice.description} gives no timestamps in this runtime, which a profile is made of: try Node`,
    );
  }
  const loop = await OuterLoop.prepare(problem, { gpu, estimator, optimizer: adam({ lr: 1e-12 }) });
  try {
    const { begin, main, update } = loop.sequences;
    const sequences = [begin, main, update];
    const walls: number[] = [];
    const passes: number[] = [];
    const recordings: number[] = [];
    const runs: DispatchTime[][] = [];
    for (let i = 0; i < 2; i++) await loop.step({ restart: true });
    for (let i = 0; i < samples; i++) {
      const start = performance.now();
      await loop.step({ restart: true });
      walls.push(performance.now() - start);
      passes.push((await loop.executable.time(...sequences)) / 1e6);
      recordings.push(loop.executable.timeRecording(...sequences));
      runs.push(await loop.executable.profile(...sequences));
    }
    const events = runs.at(-1)!;
    return {
      steps: problem.steps,
      dispatches: events.length,
      dispatchesPerInnerStep: main.dispatches.length / problem.steps,
      wall: median(walls),
      gpu: median(passes),
      launches: (events.length * roofline.launch) / 1e3,
      recording: median(recordings),
      shares: sharesOf(runs, roofline),
      events,
    };
  } finally {
    loop.destroy();
  }
}

/** What a dispatch is and computes, for people. */
export const kernelName = ({ dispatch: { label, shape } }: DispatchTime) =>
  [label, shape].filter(Boolean).join(" ");

function sharesOf(runs: readonly DispatchTime[][], roofline: Roofline): Share[] {
  const kinds = new Map<string, number[]>();
  for (const [index, time] of runs[0]!.entries()) {
    const kernel = kernelName(time);
    kinds.set(kernel, [...(kinds.get(kernel) ?? []), index]);
  }
  return [...kinds]
    .map(([kernel, indices]) => {
      let [us, least, flops, bytes] = [0, 0, 0, 0];
      for (const index of indices) {
        const { dispatch } = runs[0]![index]!;
        const own = dispatch.flops * lanesOf(dispatch.grid);
        us += median(runs.map((run) => run[index]!.end - run[index]!.start)) / 1e3;
        least += bound(roofline, own, dispatch.bytes).microseconds;
        flops += own;
        bytes += dispatch.bytes;
      }
      return {
        kernel,
        dispatches: indices.length,
        milliseconds: us / 1e3,
        gflops: flops / us / 1e3,
        gigabytesPerSecond: bytes / us / 1e3,
        percent: (100 * least) / us,
      };
    })
    .sort((a, b) => b.milliseconds - a.milliseconds);
}
