import { launch } from "./launch.ts";
import { runtime } from "./runtime.ts";

/** A line on stdout: results. */
export function print(line: string): void {
  write("print", line);
}

/** A line on stderr: progress, remarks, errors. */
export function note(line: string): void {
  write("note", line);
}

function write(type: "print" | "note", line: string): void {
  if (runtime() !== "browser") {
    (type === "print" ? process.stdout : process.stderr).write(`${line}\n`);
    return;
  }
  const send = launch()?.send;
  if (send) send({ type, line });
  else if (type === "print") console.log(line);
  else console.error(line);
}

/**
 * Ends the program with this exit code once everything written has left the process (output to a pipe is
 * asynchronous). A page reports the code to the command line instead, and stops here.
 */
export async function finish(code: number): Promise<never> {
  if (runtime() === "browser") {
    launch()?.send?.({ type: "finish", code });
    return new Promise<never>(() => {});
  }
  await Promise.all([flush(process.stdout), flush(process.stderr)]);
  process.exit(code);
}

function flush(stream: NodeJS.WriteStream): Promise<void> {
  // A reader that has gone away (`| head`) must not keep the program from ending.
  return new Promise((resolve) => {
    stream.once("error", () => resolve());
    stream.write("", () => resolve());
  });
}
