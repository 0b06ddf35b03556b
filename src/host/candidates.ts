/** What the user asks for: one of the four kinds of wish, or a part of an adapter's name. */
export type AdapterRequest = "auto" | "hardware" | "software" | "lavapipe" | "swiftshader" | (string & {});

/** An adapter that a runtime can offer, in the order of preference. */
export interface Candidate {
  adapter: GPUAdapter;
  /** Where it comes from, for people: "the system's drivers". */
  source: string;
}

/** One line for each source that was asked in vain. */
export type Tried = string[];

/** A source of adapters; it writes to `tried` why it has none. */
export type Candidates = (
  request: AdapterRequest,
  toggles: readonly string[],
  tried: Tried,
) => AsyncGenerator<Candidate>;
