import type { EventEmitter } from "node:events";

/** How a program comes to its end. */
export interface End {
  /** Rejects with what nobody handles: an error of something that is not awaited, output that cannot be written. */
  readonly failed: Promise<never>;
  /** Once the program's module has run: waits until nothing is left to do, where that can be known. */
  done(): Promise<void>;
}

/** The end of a process of Node or Deno. */
export function processEnd(): End {
  const failed = new Promise<never>((_, reject) => {
    listen(process, "beforeExit", () =>
      reject(new Error("the program waits for a promise that nothing is left to settle")),
    );
    listen(process, "uncaughtException", reject);
    listen(process, "unhandledRejection", reject);
    listen(process.stdout, "error", (error: NodeJS.ErrnoException) => {
      // A reader that has gone away (`| head`) ends the program quietly, as it ends other programs.
      if (error.code === "EPIPE") process.exit(141);
      reject(new Error(`the output cannot be written: ${error.message}`));
    });
  });
  return { failed, done: () => new Promise((resolve) => listen(process, "beforeExit", () => resolve())) };
}

/** In place of who listened before: the command line itself, where it runs a script in its own process. */
function listen(source: EventEmitter, event: string, listener: (value: Error) => void): void {
  source.removeAllListeners(event).on(event, listener);
}
