import { type Launch, launch } from "./launch.ts";
import { note } from "./output.ts";
import { runtime } from "./runtime.ts";

export interface Progress {
  /** @param done how many of `total` are done, @param fields what to show beside it, e.g. `{ loss: "0.41" }` */
  update(done: number, fields?: Record<string, string>): void;
  /** Leaves the last state on the screen. Call it before printing to the same terminal. */
  stop(): void;
}

export interface ProgressOptions {
  readonly total: number;
  readonly label: string;
  /** So many were done before; they do not count in the rate. */
  readonly from?: number;
}

const secondsBetweenLines = 2;

/**
 * Shows how far a long piece of work is, on stderr: a bar with rate and time left on a terminal, otherwise
 * a plain line at most every 2 s and one at the end.
 */
export function progress(options: ProgressOptions): Progress {
  const send = launch()?.send;
  if (send) return remote(send, options);
  if (runtime() !== "browser" && process.stderr.isTTY) return bar(options);
  return lines(options);
}

function showFields(fields: Record<string, string>): string {
  return Object.entries(fields)
    .map(([name, value]) => `  ${name} ${value}`)
    .join("");
}

function rateAndRest(done: number, { total, from = 0 }: ProgressOptions, start: number): string {
  const seconds = (performance.now() - start) / 1000;
  if (done <= from || seconds === 0) return "";
  const rate = (done - from) / seconds;
  const rest = (total - done) / rate;
  return `  ${rate >= 1 ? `${rate.toPrecision(3)}/s` : `${(1 / rate).toPrecision(3)} s each`}${
    done < total ? `  ${duration(rest)} left` : `  in ${duration(seconds)}`
  }`;
}

function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

function lines(options: ProgressOptions): Progress {
  const { total, label } = options;
  const start = performance.now();
  let written = start;
  let last = { done: 0, fields: {} as Record<string, string> };
  let shown = -1;
  const write = () => {
    shown = last.done;
    written = performance.now();
    note(`${label} ${last.done}/${total}${rateAndRest(last.done, options, start)}${showFields(last.fields)}`);
  };
  return {
    update(done, fields = {}) {
      last = { done, fields };
      if (performance.now() - written >= secondsBetweenLines * 1000) write();
    },
    stop() {
      if (shown !== last.done) write();
    },
  };
}

function bar(options: ProgressOptions): Progress {
  const { total, label } = options;
  const start = performance.now();
  let last = { done: 0, fields: {} as Record<string, string> };
  let isStopped = false;
  let drawn: Progress | undefined;

  // Loaded here, not above: a browser has no terminal, and a script without progress needs no bar.
  const load = async (): Promise<Progress> => {
    const {
      default: { SingleBar, Presets },
    } = await import("cli-progress");
    const single = new SingleBar(
      {
        stream: process.stderr,
        format: `${label} {bar} {value}/{total}{rest}{fields}`,
        barsize: 24,
        hideCursor: null,
        fps: 5,
      },
      Presets.shades_classic,
    );
    const payload = (done: number, fields: Record<string, string>) => ({
      rest: rateAndRest(done, options, start),
      fields: showFields(fields),
    });
    single.start(total, last.done, payload(last.done, last.fields));
    return {
      update: (done, fields = {}) => single.update(done, payload(done, fields)),
      stop: () => single.stop(),
    };
  };
  load()
    .catch(() => lines(options))
    .then((progress) => {
      drawn = progress;
      drawn.update(last.done, last.fields);
      if (isStopped) drawn.stop();
    });

  return {
    update(done, fields = {}) {
      last = { done, fields };
      drawn?.update(done, fields);
    },
    stop() {
      isStopped = true;
      drawn?.update(last.done, last.fields);
      drawn?.stop();
    },
  };
}

let remotes = 0;

/** In a page of `--runtime browser` the terminal is the command line's: it draws. */
function remote(send: NonNullable<Launch["send"]>, options: ProgressOptions): Progress {
  const id = remotes++;
  send({ type: "progress", id, ...options });
  return {
    update: (done, fields = {}) => send({ type: "update", id, done, fields }),
    stop: () => send({ type: "stop", id }),
  };
}
