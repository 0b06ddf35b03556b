import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { UsageError } from "../src/host/errors.ts";

/** Flags that every benchmark has. */
export const outputFlags = {
  json: option("--json", { description: message`Print one JSON object.` }),
  save: option("--save", {
    description: message`Keep the JSON object in bench/results/, named for the adapter.`,
  }),
};

/** Flags of the benchmarks that time this engine. */
export const timingFlags = {
  quick: option("--quick", {
    description: message`As little work as shows that all runs; the times mean little.`,
  }),
  toggles: withDefault(
    option("--toggles", string({ metavar: "A,B" }), {
      description: message`Dawn's toggles to turn on, or off with a leading minus (Node).`,
    }),
    "",
  ),
};

/** Flags of the benchmarks that go through the kernel cases. */
export const caseFlags = {
  only: optional(
    option("--only", string({ metavar: "A,B" }), {
      description: message`Cases whose names contain one of these.`,
    }),
  ),
};

/** "a,b" as ["a", "b"]. */
export function names(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/** Those whose names contain one of the parts, all if no parts are given. @throws UsageError that lists the names where none does */
export function named<T extends { readonly name: string }>(
  items: readonly T[],
  parts: string | undefined,
): readonly T[] {
  if (parts === undefined) return items;
  const wanted = names(parts);
  const found = items.filter(({ name }) => wanted.some((part) => name.includes(part)));
  if (found.length > 0) return found;
  const all = [...new Set(items.map(({ name }) => `  ${name}`))];
  throw new UsageError(`--only ${parts || '""'}: no name contains that; there are\n${all.join("\n")}`);
}

/** "5,10" as [5, 10]. @throws UsageError naming the flag */
export function wholeNumbers(flag: string, text: string): number[] {
  const list = names(text).map(Number);
  if (list.length === 0 || !list.every((value) => Number.isInteger(value) && value > 0)) {
    throw new UsageError(`${flag} is "${text}": give whole numbers > 0 with commas between`);
  }
  return list;
}
