import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, start } from "./cli/launcher.ts";
import { cases } from "./support/cases.ts";

/** What Vitest's JSON reporter writes, as far as it is read here. */
interface Report {
  success: boolean;
  testResults: {
    name: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

// Deno compiles WGSL with naga, Dawn and Chromium with Tint: every shader must pass both.
test("the kernel suite passes in Deno", { timeout: 900_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "hypergrad-deno-"));
  try {
    const file = join(folder, "report.json");
    const { code, stdout, stderr } = await start(join(root, "node_modules/.bin/deno"), [
      "run",
      "--allow-all",
      "node_modules/vitest/vitest.mjs",
      "run",
      "--reporter=json",
      `--outputFile=${file}`,
    ]);
    const text = await readFile(file, "utf8").catch(() => expect.fail(`Vitest did not run:\n${stdout}${stderr}`));
    const { success, testResults } = JSON.parse(text) as Report;
    const failures = testResults.flatMap(({ message, assertionResults }) => [
      ...(message ? [message] : []),
      ...assertionResults
        .filter(({ status }) => status !== "passed")
        .map(({ fullName, status, failureMessages }) => `${fullName}: ${status} ${failureMessages.join("\n")}`),
    ]);
    expect(failures).toEqual([]);
    const kernels = testResults.find(({ name }) => name.endsWith("kernels.test.ts"));
    expect(kernels?.assertionResults).toHaveLength(cases.length);
    expect({ code, success }).toEqual({ code: 0, success: true });
  } finally {
    await rm(folder, { recursive: true });
  }
});
