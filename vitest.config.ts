import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { chromiumOptions } from "./src/cli/chromium.ts";
import { bundledVulkan } from "./src/host/bundled.ts";
import { AdapterError, releaseGpu, requestAdapter } from "./src/host/gpu.ts";
import { environment, runtime } from "./src/host/runtime.ts";

// Most of a test's time goes into kernels that run once. The SwiftShader that npm brings compiles them several times
// faster than lavapipe, so that without a real GPU it is what the tests run on; whoever names an adapter gets that.
if (environment("HYPERGRAD_ADAPTER") === undefined && !(await hasGpu()) && (await hasSwiftShader())) {
  process.env.HYPERGRAD_ADAPTER = "swiftshader";
}

async function hasGpu(): Promise<boolean> {
  try {
    await requestAdapter({ adapter: "hardware" });
    return true;
  } catch (error) {
    if (error instanceof AdapterError) return false;
    throw error;
  } finally {
    releaseGpu();
  }
}

/** Without an adapter of it: that would change how this process, which only starts the others, polls. */
function hasSwiftShader(): Promise<boolean> {
  return bundledVulkan().then(
    () => true,
    () => false,
  );
}

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
