import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { chromiumOptions } from "./src/cli/chromium.ts";
import { environment, runtime } from "./src/host/runtime.ts";

/** The kernel suite, the same in every runtime. */
const kernels = ["test/graph/**/*.test.ts"];

const node: TestProjectConfiguration = {
  extends: true,
  test: { name: "node", include: ["test/**/*.test.ts"] },
};

/** Vitest started by Deno has Deno as its workers too; test/deno.test.ts starts it. */
const deno: TestProjectConfiguration = {
  extends: true,
  test: { name: "deno", include: kernels, setupFiles: ["test/support/in_deno.ts"] },
};

const browser = async (): Promise<TestProjectConfiguration> => ({
  extends: true,
  // Named beforehand: a package that Vite discovers during a run makes it reload the page.
  optimizeDeps: { include: ["wgsl-preprocessor/wgsl-preprocessor.js"], noDiscovery: true },
  test: {
    name: "browser",
    include: kernels,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: await chromiumOptions(environment("HYPERGRAD_ADAPTER") ?? "swiftshader"),
      }),
      instances: [{ browser: "chromium" }],
    },
  },
});

/** Minutes each: begun last, one of them would run alone. */
const longest = ["test/golden.test.ts", "test/deno.test.ts", "test/scripts/toy.test.ts"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => longest.some((name) => moduleId.endsWith(name));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

const report = environment("HYPERGRAD_TEST_REPORT");

export default defineConfig({
  test: {
    // dawn.node aborts when two worker threads of one process load it: one process a file.
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // A file that other programs read the results from.
    reporters: report ? ["default", ["json", { outputFile: report }]] : ["default"],
    testTimeout: 240_000,
    hookTimeout: 120_000,
    projects: runtime() === "deno" ? [deno] : [node, await browser()],
  },
});
