import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, start } from "./cli/launcher.ts";
import { cases } from "./support/cases/all.ts";

/** What Vitest's JSON reporter writes, as far as it is read here. */
interface Report {
  testResults: { name: string; assertionResults: { status: string }[] }[];
}

// Deno compiles WGSL with naga, Dawn and Chromium with Tint: every shader must pass both.
test("the kernel suite passes in Deno", { timeout: 900_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "hypergrad-deno-"));
  try {
    const report = join(folder, "report.json");
    const { code, stdout, stderr } = await start(
      join(root, "node_modules/.bin/deno"),
      ["run", "--allow-all", "node_modules/vitest/vitest.mjs", "run"],
      { env: { HYPERGRAD_TEST_REPORT: report } },
    );
    expect(code, stdout + stderr).toBe(0);
    const { testResults } = JSON.parse(await readFile(report, "utf8")) as Report;
    const kernels = testResults.filter(({ name }) => name.includes("/graph/kernels/"));
    const results = kernels.flatMap(({ assertionResults }) => assertionResults);
    const passed = results.filter(({ status }) => status === "passed");
    expect(passed.length).toBeGreaterThanOrEqual(cases.length);
  } finally {
    await rm(folder, { recursive: true });
  }
});
