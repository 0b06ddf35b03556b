import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { SetName } from "../data/folder.ts";
import { gunzip } from "../data/gzip.ts";
import { type FileSize, type PublishedFile, published } from "../data/published.ts";
import { formatBytes } from "../gpu/memory.ts";
import { untar } from "../host/archive.ts";
import { checksum, DownloadError, download } from "../host/download.ts";
import { readFile, writeFile } from "../host/files.ts";
import { print, progress } from "../host/terminal.ts";
import { table } from "../report/table.ts";

export interface FetchOptions {
  data: string;
  /** The address of a folder that has the files; the published places when absent. */
  mirror?: string | undefined;
}

/**
 * Downloads what is missing of a set into `data/name` and says what it did.
 * @throws Error with what to do by hand when no place answers, or when a file is there that is not the published one
 */
export async function fetchSet(name: SetName, { data, mirror }: FetchOptions): Promise<void> {
  const folder = join(data, name);
  for (const file of published[name].files) {
    const urls = mirror === undefined ? file.urls : [`${mirror.replace(/\/$/, "")}/${file.name}`];
    const isNew = await fetchFile({ ...file, urls }, folder);
    print(`${join(folder, file.name)}: ${isNew ? "fetched" : "already there"}`);
  }
}

/**
 * Downloads one file, verifies it, and unpacks it where it is an archive.
 * @returns false when it was there already
 */
export async function fetchFile(file: PublishedFile, folder: string): Promise<boolean> {
  const path = join(folder, file.name);
  if (file.holds && (await stateOf(folder, file)) === "there") return false;
  const wasThere = (await sizeOf(path)) !== undefined;
  if (!wasThere) await downloadFile(file, path);
  else if ((await checksum(path)) !== file.sha256) {
    throw new Error(`${path} is there but is not the published file: remove it to fetch that one`);
  }
  if (file.holds) await unpack(path, file.holds, folder);
  return !wasThere || file.holds !== undefined;
}

async function downloadFile({ name, bytes, sha256, urls }: PublishedFile, path: string): Promise<void> {
  const [unit, size] = bytes < 1e6 ? ["kB", 1e3] : ["MB", 1e6];
  const inUnits = (count: number) => Math.round((10 * count) / size) / 10;
  const bar = progress({ total: inUnits(bytes), label: `${name}, ${unit}` });
  try {
    await download({ path, bytes, sha256, urls }, (done) => bar.update(inUnits(done)));
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    throw new Error(
      `${error.message}\nTo do: run this again with a network (what has come is kept), or name another place with --mirror URL, ` +
        `or put ${name} (${bytes} bytes, SHA-256 ${sha256}) by hand at ${path} and run this again`,
      { cause: error },
    );
  } finally {
    bar.stop();
  }
}

/** Puts the files of a verified archive into the folder and removes the archive. */
async function unpack(path: string, holds: readonly FileSize[], folder: string): Promise<void> {
  const wanted = new Map(holds.map((file) => [file.name, file]));
  for (const entry of untar(await gunzip(await readFile(path), path))) {
    const file = wanted.get(entry.name.split("/").at(-1)!);
    if (!file) continue;
    await writeFile(join(folder, file.name), entry.bytes);
    wanted.delete(file.name);
  }
  if (wanted.size > 0) throw new Error(`${path} does not hold ${[...wanted.keys()].join(", ")}`);
  await rm(path);
}

/** `differs`: there, but not of the published length. */
type State = "there" | "differs" | "in part" | "not there";

/** By length alone: quick for hundreds of megabytes. */
async function stateOf(folder: string, file: PublishedFile): Promise<State> {
  const sizes = await Promise.all((file.holds ?? [file]).map(({ name }) => sizeOf(join(folder, name))));
  if (sizes.every((size) => size === undefined)) {
    const begun = file.holds ? [file.name, `${file.name}.part`] : [`${file.name}.part`];
    const found = await Promise.all(begun.map((name) => sizeOf(join(folder, name))));
    return found.some((size) => size !== undefined) ? "in part" : "not there";
  }
  if (sizes.includes(undefined)) return "in part";
  return (file.holds ?? [file]).every(({ bytes }, i) => sizes[i] === bytes) ? "there" : "differs";
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

/** Prints every set with its size and whether it is in `data/name`. @returns the exit code */
export async function listSets(data: string, json: boolean): Promise<number> {
  const names = Object.keys(published) as SetName[];
  const sets = await Promise.all(
    names.map(async (name) => {
      const { about, files } = published[name];
      const folder = join(data, name);
      const states = await Promise.all(files.map((file) => stateOf(folder, file)));
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      return { name, about, bytes, folder, state: overall(states) };
    }),
  );
  if (json) print(JSON.stringify({ sets }));
  else {
    const rows = sets.map(({ name, about, bytes, state }) => [
      `${name.padEnd(15)}${about}`,
      formatBytes(bytes),
      state,
    ]);
    print(table(["set", "download", `in ${data}`], rows));
  }
  return 0;
}

function overall(states: readonly State[]): State {
  const [first] = states;
  if (states.every((state) => state === first)) return first!;
  return states.every((state) => state === "there" || state === "differs") ? "differs" : "in part";
}
