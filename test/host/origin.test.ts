import { expect, test } from "vitest";
import { UsageError } from "../../src/host/errors.ts";
import { originOf } from "../../src/host/origin.ts";

const library = "/opt/hypergrad";

function raised(error: Error, ...frames: string[]): string | undefined {
  const start = [`async runScript (${library}/src/cli/script.ts:15:20)`, "async /home/me/entry.ts:3:5"];
  error.stack = [
    `${error.name}: ${error.message}`,
    ...[...frames, ...start].map((one) => `    at ${one}`),
  ].join("\n");
  return originOf(error, library);
}

test("an error of the user's own code comes from its first frame", () => {
  expect(raised(new ReferenceError("x"), "load (/home/me/a.ts:7:16)", "/home/me/b.ts:1:1")).toBe(
    "/home/me/a.ts:7:16",
  );
  expect(raised(new Error("mine"), "async file:///home/me/my%20script.ts:3:1")).toBe(
    "/home/me/my script.ts:3:1",
  );
  expect(raised(new Error("mine"), `${process.cwd()}/scripts/a.ts:3:1`)).toBe("scripts/a.ts:3:1");
});

test("what fails in Node, in a package or in here because of the user's code comes from the user's code", () => {
  const user = "run (/home/me/a.ts:7:16)";
  expect(raised(new Error("ENOENT"), "open (node:fs:1:2)", user)).toBe("/home/me/a.ts:7:16");
  expect(raised(new Error("wrong"), "f (/home/me/node_modules/p/i.js:1:2)", user)).toBe("/home/me/a.ts:7:16");
  expect(raised(new TypeError("no such property"), `f (${library}/src/a.ts:1:2)`, user)).toBe(
    "/home/me/a.ts:7:16",
  );
});

test("what says itself what to do has no place, and neither has what the user's code did not call", () => {
  const user = "run (/home/me/a.ts:7:16)";
  expect(raised(new Error("cannot read f"), `f (${library}/src/host/files.ts:1:2)`, user)).toBeUndefined();
  expect(raised(new UsageError("give --data"), user)).toBeUndefined();
  expect(raised(new TypeError("a defect"), `f (${library}/src/a.ts:1:2)`)).toBeUndefined();
});
