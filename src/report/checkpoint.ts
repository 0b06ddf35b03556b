import type { Checkpoint } from "../bilevel/checkpoint.ts";
import { DataError } from "../data/error.ts";
import { decodeNpz, encodeNpz } from "../data/npz.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { readFile, writeFile } from "../host/files.ts";

/** Numbers and words that say what a run was asked to do, as they go into its files. */
export type RunSettings = Readonly<Record<string, unknown>>;

/** A checkpoint as a file holds it. */
export interface SavedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly settings: RunSettings;
  /** On which the steps so far ran. */
  readonly adapter: string;
}

const FORMAT = "hypergrad checkpoint 1";
const HEAD = "checkpoint.json";

/**
 * Writes a checkpoint as an NPZ file, whole or not at all: a file of that name is replaced at the end.
 *
 * @throws ProblemError for a checkpoint without its settings and its adapter; Error when it cannot be written
 */
export async function writeCheckpoint(path: string, saved: SavedCheckpoint): Promise<void> {
  await writeFile(path, encodeCheckpoint(saved));
}

/** @throws Error when there is no such file; DataError for one that is damaged or no checkpoint */
export async function readCheckpoint(path: string): Promise<SavedCheckpoint> {
  return decodeCheckpoint(await readFile(path), path);
}

/** An NPZ file: an array for each part of the state, and "checkpoint.json" for everything else. @throws ProblemError */
export function encodeCheckpoint(saved: SavedCheckpoint): Uint8Array {
  assertSaved(saved);
  const { checkpoint, ...about } = saved;
  const { state, ...rest } = checkpoint;
  const head = new TextEncoder().encode(JSON.stringify({ format: FORMAT, ...about, ...rest }));
  const arrays = Object.fromEntries(
    Object.entries(state).map(([name, data]) => [name, { data, shape: [data.length] }]),
  );
  return encodeNpz({ arrays, files: { [HEAD]: head } });
}

/** @throws DataError for bytes that are damaged or no checkpoint */
export function decodeCheckpoint(bytes: Uint8Array, path: string): SavedCheckpoint {
  const { arrays, files } = decodeNpz(bytes, path);
  const { format, settings, adapter, ...rest } = parse(files[HEAD]);
  if (format !== FORMAT) {
    const problem = `this is no checkpoint of this version: its format is "${format}", not "${FORMAT}"`;
    throw new DataError(path, 0, problem, "give a file that --checkpoint wrote, or start anew");
  }
  const state = Object.fromEntries(Object.entries(arrays).map(([name, { data }]) => [name, data]));
  return { checkpoint: { ...rest, state: state as Checkpoint["state"] }, settings, adapter };
}

/** The types say it too, but not to JavaScript. */
function assertSaved(given: Partial<SavedCheckpoint> | undefined): void {
  const { checkpoint, settings, adapter } = given ?? {};
  if (checkpoint?.state && typeof settings === "object" && typeof adapter === "string") return;
  throw new ProblemError(
    "a file holds more than the checkpoint: give writeCheckpoint(path, { checkpoint, settings, adapter }), with checkpoint: await step.checkpoint(), settings: what the run was asked for, perhaps {}, and adapter: gpu.choice.description",
  );
}

type Head = Omit<SavedCheckpoint, "checkpoint"> & Omit<Checkpoint, "state"> & { readonly format: string };

function parse(head: Uint8Array | undefined): Head {
  return JSON.parse(head === undefined ? '{"format":"none"}' : new TextDecoder().decode(head));
}
