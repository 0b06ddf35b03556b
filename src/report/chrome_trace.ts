/** Something that took time; milliseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly start: number;
  readonly milliseconds: number;
  readonly about?: Readonly<Record<string, number>>;
}

/** Events one after another on one line of the picture. */
export interface Track {
  /** Tracks of one process stand together. */
  readonly process: string;
  readonly name: string;
  readonly events: readonly TraceEvent[];
}

/**
 * Tracks in the Trace Event Format of chrome://tracing and Perfetto
 * (https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).
 */
export function chromeTrace(tracks: readonly Track[]): string {
  const processes = [...new Set(tracks.map(({ process }) => process))];
  const traceEvents = tracks.flatMap(({ process, name, events }, tid) => {
    const pid = processes.indexOf(process);
    const named = (what: string, name: string) => ({ ph: "M", name: what, pid, tid, args: { name } });
    return [
      named("process_name", process),
      named("thread_name", name),
      ...events.map(({ name, start, milliseconds, about: args }) => ({
        ...{ ph: "X", name, pid, tid, ts: 1e3 * start, dur: 1e3 * milliseconds },
        ...(args && { args }),
      })),
    ];
  });
  return JSON.stringify({ traceEvents, displayTimeUnit: "ms" });
}
