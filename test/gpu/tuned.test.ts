import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readTable } from "../../src/gpu/tuned.ts";

const folder = await mkdtemp(join(tmpdir(), "hypergrad-tuned-"));
afterAll(() => rm(folder, { recursive: true }));

test.each([
  ["cut off", '{"adapter": "a", "matmul": {'],
  ["without convolutions", '{"adapter": "a", "matmul": {}}'],
  ["no object", "null"],
])("a table of variants that is %s is refused by its name", async (_what, text) => {
  const file = join(folder, "table.json");
  await writeFile(file, text);
  await expect(readTable(file)).rejects.toThrow(`${file} is no table of variants`);
});

test("a table that is not there is none; one that is there is read", async () => {
  expect(await readTable(join(folder, "none.json"))).toBeUndefined();
  const table = { adapter: "a", matmul: {}, conv: { some: "plain" } };
  const file = join(folder, "whole.json");
  await writeFile(file, JSON.stringify(table));
  expect(await readTable(file)).toEqual(table);
});
