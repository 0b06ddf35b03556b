import { formatWithOptions } from "node:util";
import { expect, test } from "vitest";
import { consoleText } from "../../src/cli/console-text.ts";

class Named {
  readonly size = 2;
}

test.each<[string, unknown[]]>([
  ["words and numbers", ["loss", 0.5, -0, Number.NaN, 10n, true, null, undefined]],
  ["what is in an object", [{ a: 1, b: { c: [1, 2], d: undefined }, e: [], f: {} }]],
  ["long arrays, cut short", [{ shape: [1000], data: new Float32Array(1000) }, Array(101).fill(7)]],
  ["arrays that are just short enough", [new Int32Array(100), new Uint8Array(0)]],
  ["what lies deep", [{ a: { b: { c: { d: 1 } } } }, [[[[1]]]]]],
  ["functions and classes", [Math.max, new Named(), [new Named()]]],
])("reads as Node prints it: %s", (_, given) => {
  const inNode = formatWithOptions({ breakLength: Number.POSITIVE_INFINITY, compact: 3 }, ...given);
  const plain = (text: string) => text.replaceAll("'", '"').replace(/\s+/g, " ");
  expect(plain(consoleText(given))).toBe(plain(inNode));
});

test("what leads back to itself has an end, and so has an error", () => {
  const loop: Record<string, unknown> = { a: 1 };
  loop.self = loop;
  expect(consoleText([loop])).toBe("{ a: 1, self: [Circular] }");
  expect(consoleText([new RangeError("too far")])).toMatch(/^RangeError: too far\n/);
  expect(consoleText([new Map([["w", 1]]), new Set([2])])).toBe('Map(1) [ [ "w", 1 ] ] Set(1) [ 2 ]');
});
