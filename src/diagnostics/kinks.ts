import type { Problem } from "../bilevel/problem.ts";
import { topological } from "../graph/tensor.ts";

/** Kernels whose derivative jumps, by the names that losses are written with. */
const kinked: Readonly<Record<string, string>> = { relu: "relu", "max-pool": "maxPool" };

/** The operations of a problem's losses whose derivative jumps, as far as they are this package's own. */
export function kinksOf<W extends string, H extends string>({ inner, outer }: Problem<W, H>): string[] {
  const found = topological([inner.traced.value, outer.traced.value]).flatMap(({ source }) => {
    const name = source.kind === "rule" ? kinked[source.rule.name] : undefined;
    return name === undefined ? [] : [name];
  });
  return [...new Set(found)].sort();
}
