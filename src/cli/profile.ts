import { openForTiming } from "../diagnostics/measure.ts";
import { kernelName, type Profile, profile } from "../diagnostics/profile.ts";
import { formatProfile } from "../diagnostics/report.ts";
import { measureRoofline } from "../diagnostics/roofline.ts";
import { estimatorList } from "../estimators/named.ts";
import { lanesOf } from "../gpu/dispatch.ts";
import { writeFile } from "../host/files.ts";
import { note, print, progress } from "../host/terminal.ts";
import { chromeTrace, type Track } from "../report/chrome_trace.ts";
import { scriptProblem } from "./script-problem.ts";

export interface ProfileScriptOptions {
  /** For messages. */
  file: string;
  /** As in `estimatorList`. */
  estimators: string;
  samples: number;
  /** A file for the events of one outer step of each estimator. */
  trace?: string;
  json: boolean;
}

/** Profiles an outer step of a script's problem for each estimator, in any runtime with timestamps. */
export async function profileScript(
  load: () => Promise<object>,
  { file, estimators, samples, trace, json }: ProfileScriptOptions,
): Promise<number> {
  const problem = await scriptProblem(load, file);
  const chosen = estimatorList(estimators, problem.steps);
  const gpu = await openForTiming([]);
  const bar = progress({ total: chosen.length + 1, label: "profile" });
  const roofline = await measureRoofline(gpu, { samples: 5, milliseconds: 10 }, { quick: false });
  const profiles: (Profile & { estimator: string })[] = [];
  for (const { label, estimator } of chosen) {
    bar.update(profiles.length + 1, { now: label });
    profiles.push({ estimator: label, ...(await profile(problem, { gpu, estimator, roofline, samples })) });
  }
  bar.stop();
  const adapter = gpu.choice.description;
  const shown = profiles.map(({ events: _, ...rest }) => rest);
  if (json) print(JSON.stringify({ adapter, file, roofline, estimators: shown }));
  else print([adapter, ...profiles.map((each) => formatProfile(each.estimator, each))].join("\n\n"));
  gpu.close();
  if (trace !== undefined) {
    await writeFile(trace, chromeTrace(profiles.flatMap((each) => tracksOf(each.estimator, each))));
    note(`${trace}: open it in chrome://tracing or https://ui.perfetto.dev`);
  }
  return 0;
}

/** One outer step as events: the host's, and the GPU's from when it was submitted on. */
function tracksOf(estimator: string, { wall, recording, events }: Profile): Track[] {
  const origin = (events[0]?.start ?? 0) / 1e6 - recording;
  const host = [
    { name: "record and submit", start: 0, milliseconds: recording },
    { name: "wait for the loss", start: recording, milliseconds: wall },
  ];
  const onGpu = events.map((event) => ({
    name: kernelName(event),
    start: event.start / 1e6 - origin,
    milliseconds: (event.end - event.start) / 1e6,
    about: { flops: event.dispatch.flops * lanesOf(event.dispatch.grid), bytes: event.dispatch.bytes },
  }));
  return [
    { process: estimator, name: "host", events: host },
    { process: estimator, name: "GPU, each dispatch in a pass of its own", events: onGpu },
  ];
}
