import { launch } from "./launch.ts";
import { runtime } from "./runtime.ts";

const codes = { SIGINT: 130, SIGTERM: 143 } as const;

/** Ctrl-C, or what a job scheduler sends before it takes the machine away. */
export type Signal = keyof typeof codes;

type Handler = (signal: Signal) => void;

const handlers = new Set<Handler>();
let received: Signal | undefined;

/**
 * Calls `handler` on the first Ctrl-C or SIGTERM, so that a script can finish its step, print what it has
 * and save. A second Ctrl-C ends the program at once with code 130. Without a handler the first one does.
 *
 * @returns a function that takes the handler back
 */
export function onInterrupt(handler: Handler): () => void {
  if (handlers.size === 0) listen();
  handlers.add(handler);
  return () => {
    handlers.delete(handler);
    if (handlers.size === 0) stopListening();
  };
}

/** The exit code that tells the caller that the program was interrupted; 0 when it was not. */
export function interruptCode(): number {
  return received === undefined ? 0 : codes[received];
}

function receive(signal: Signal): boolean {
  if (received !== undefined) {
    if (runtime() !== "browser") process.exit(codes[signal]);
    return false;
  }
  received = signal;
  for (const handler of [...handlers]) handler(signal);
  return true;
}

const onInt = () => receive("SIGINT");
const onTerm = () => receive("SIGTERM");

function listen(): void {
  if (runtime() === "browser") {
    const page = launch();
    if (page) page.interrupt = receive;
    return;
  }
  process.on("SIGINT", onInt);
  process.on("SIGTERM", onTerm);
}

function stopListening(): void {
  if (runtime() === "browser") {
    const page = launch();
    if (page) delete page.interrupt;
    return;
  }
  process.off("SIGINT", onInt);
  process.off("SIGTERM", onTerm);
}
