import { describe, expect, test } from "vitest";
import { closeness } from "../../src/diagnostics/closeness.ts";
import { ProblemError } from "../../src/gpu/problem_error.ts";
import { values } from "../../src/graph/values.ts";

const exact = { a: values([3, 0]), b: values([4]) };

test("groups belong together by their names, in whatever order they stand", () => {
  const same = { b: values([4]), a: values([3, 0]) };
  expect(closeness(same, exact)).toEqual({ cosine: 1, relativeError: 0 });
  const across = { b: values([-4]), a: values([3, 0]) };
  expect(closeness(across, exact)).toEqual({ cosine: (9 - 16) / 25, relativeError: 8 / 5 });
});

describe("what is refused", () => {
  test.each([
    ["a missing group", { a: values([3, 0]) }, /"b" is missing: give every group of the exact vector, a, b/],
    ["another length", { a: values([3]), b: values([4]) }, /"a" has 1 numbers, the exact one has 2/],
    ["a group too many", { ...exact, c: values([1]) }, /"c" is no group of the exact vector, which has a, b/],
  ])("%s", (_title, found, message) => {
    expect(() => closeness(found, exact)).toThrow(ProblemError);
    expect(() => closeness(found, exact)).toThrow(message);
  });
});
