import { type Strided, THREADS } from "../../shaders/operand.ts";
import { processors } from "../host/runtime.ts";
import type { Resource } from "./block.ts";

/**
 * How a kernel uses what it binds. "write" may read what stood there too; with "overwrite", nothing that stood there
 * before is read by this or a later kernel of the run.
 */
export type Access = "read" | "write" | "overwrite" | "uniform";

export interface Binding {
  readonly binding: number;
  readonly resource: Resource;
  readonly access: Access;
}

/** Workgroups in x, y and z; or elements that any number of them stride over. */
export type Grid = readonly [number, number, number] | Strided;

/** Lanes of a grid: they are z. */
export const lanesOf = (grid: Grid) => ("elements" in grid ? grid.lanes : grid[2]);

/** Workgroups for elements to stride over: enough to fill the largest GPUs, and few for a processor, where each costs. */
const GROUPS = { hardware: 16384, software: 4 * processors() };

/** The workgroups of a grid. */
export function workgroups(
  grid: Grid,
  { software }: { readonly software: boolean },
): readonly [number, number, number] {
  if (!("elements" in grid)) return grid;
  const most = software ? GROUPS.software : GROUPS.hardware;
  return [Math.min(Math.ceil(grid.elements / THREADS), most), 1, grid.lanes];
}

/** One kernel launch, as recorded: WGSL with entry point `main`, what it binds, its grid, and what it costs. */
export interface Dispatch {
  readonly label: string;
  /** Shapes, for people. */
  readonly shape?: string;
  readonly code: string;
  readonly bindings: readonly Binding[];
  readonly grid: Grid;
  readonly flops: number;
  readonly bytes: number;
}

/** Dispatches that are not known until everything has its place in memory. */
export type Deferred = () => Dispatch[];

/** A list of dispatches that is replayed as a whole, in order, in one submit. */
export class Sequence {
  readonly name: string;
  readonly #items: (Dispatch | Deferred)[] = [];
  #dispatches: Dispatch[] | undefined;

  constructor(name: string) {
    this.name = name;
  }

  add(item: Dispatch | Deferred): void {
    this.#items.push(item);
  }

  /** All dispatches; to be asked for only when planning is done. */
  get dispatches(): readonly Dispatch[] {
    this.#dispatches ??= this.#items.flatMap((item) => (typeof item === "function" ? item() : [item]));
    return this.#dispatches;
  }
}

/** What stands at a binding's number; nothing leaves it out. */
export type Entry = readonly [Access, Resource] | undefined;

/** Bindings in the order of their numbers. */
export function bindings(...list: readonly Entry[]): Binding[] {
  return list.flatMap((entry, binding) =>
    entry === undefined ? [] : [{ binding, access: entry[0], resource: entry[1] }],
  );
}
