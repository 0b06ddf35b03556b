import { appendFile, exists, isSpecial, readFile, writeFile } from "../host/files.ts";

type Line = Readonly<Record<string, unknown>>;

/**
 * A file of JSON lines that grows while a run goes on. The first line says what was asked for; each outer step adds
 * one with `step`, and so does a run that goes on from a checkpoint, with `resumed`. Every line has its `time`.
 */
export class MetricsLog {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Begins a log with a line of settings; a file of that name is replaced. */
  static async begin(path: string, settings: Line): Promise<MetricsLog> {
    await writeFile(path, textOf(settings));
    return new MetricsLog(path);
  }

  /**
   * Goes on with a log after outer step `step`: lines of later steps, and a line that was cut short, are taken out.
   * Where there is no file (or a device, which has no lines to go on with), it begins one with `settings`.
   */
  static async resume(path: string, step: number, settings: Line): Promise<MetricsLog> {
    const isThere = (await exists(path)) && !(await isSpecial(path));
    const text = isThere ? new TextDecoder().decode(await readFile(path)) : textOf(settings);
    const kept = text.split("\n").filter((line) => {
      const parsed = parse(line);
      return parsed !== undefined && !(Number(parsed.step ?? parsed.resumed ?? 0) > step);
    });
    await writeFile(path, kept.map((line) => `${line}\n`).join(""));
    return new MetricsLog(path);
  }

  async add(line: Line): Promise<void> {
    await appendFile(this.#path, textOf(line));
  }
}

function textOf(line: Line): string {
  return `${JSON.stringify({ ...line, time: new Date().toISOString() })}\n`;
}

function parse(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return undefined;
  }
}
