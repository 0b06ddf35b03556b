import type { Resource } from "./block.ts";

export type Access = "read" | "write" | "uniform";

export interface Binding {
  readonly binding: number;
  readonly resource: Resource;
  readonly access: Access;
}

/** One kernel launch, as recorded: WGSL with entry point `main`, what it binds, its grid, and what it costs. */
export interface Dispatch {
  readonly label: string;
  /** Shapes, for people. */
  readonly shape?: string;
  readonly code: string;
  readonly bindings: readonly Binding[];
  readonly grid: readonly [number, number, number];
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

/** Bindings in the order of their numbers; `undefined` leaves a number out. */
export function bindings(...list: (readonly [Access, Resource] | undefined)[]): Binding[] {
  return list.flatMap((entry, binding) =>
    entry === undefined ? [] : [{ binding, access: entry[0], resource: entry[1] }],
  );
}
