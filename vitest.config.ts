import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // dawn.node aborts when two worker threads of one process load it: one process per file.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    include: ["test/**/*.test.ts"],
  },
});
