import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { hypergrad } from "../cli/launcher.ts";
import { withGpu } from "../support/gpu.ts";
import { fiveSteps } from "./runs.ts";

const gpu = withGpu(
  (adapter) =>
    `five outer steps of each estimator give the same bits again, here and in another process, on ${adapter}`,
);

test("the same bits twice, in one process and in two", async () => {
  const first = await fiveSteps(gpu());
  expect(Object.keys(first)).toEqual(["rmd", "krmd", "t1t2", "greedy", "first-order"]);
  expect(new Set(Object.values(first)).size).toBe(5);
  expect(await fiveSteps(gpu())).toEqual(first);

  const program = fileURLToPath(new URL("runs_program.ts", import.meta.url));
  const { code, stdout, stderr } = await hypergrad(["run", program]);
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout.trim().split("\n").at(-1)!)).toEqual(first);
});
