import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hypergrad } from "../cli/launcher.ts";

const run = (...flags: string[]) => hypergrad(["run", "truncation", ...flags]);

interface Result {
  figure?: string;
  points: { condition: number; k: number; relativeError: number; bound: number }[];
}

const resultOf = (stdout: string): Result => JSON.parse(stdout.trim().split("\n").at(-1)!);

/** What float32 rounds in h, relative to it. */
const ROUNDING = 2e-6;

test("the error falls geometrically with K and stays below the bound", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hypergrad-truncation-"));
  try {
    const file = join(folder, "bias.svg");
    const { code, stdout, stderr } = await run("--conditions", "4,20", "--figure", file, "--json");
    expect(code, stderr).toBe(0);
    const { points, figure } = resultOf(stdout);
    for (const condition of [4, 20]) {
      const own = points.filter((point) => point.condition === condition);
      expect(own.map(({ k }) => k)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
      for (const { relativeError, bound, k } of own) {
        expect(relativeError, `K = ${k}`).toBeLessThanOrEqual(bound + ROUNDING);
        if (k < 30) expect(bound, `K = ${k}`).toBeLessThan(60 * relativeError);
      }
      expect(own.at(-1)).toMatchObject({ relativeError: 0, bound: 0 });
      // Each step back leaves at most 1 - 1/κ of the error, and where quick directions have died out about that.
      const factors = own.slice(1, -1).map(({ relativeError }, i) => relativeError / own[i]!.relativeError);
      const slowest = 1 - 1 / condition;
      for (const factor of factors) expect(factor).toBeLessThan(slowest + 1e-3);
      for (const factor of factors.slice(4, 18)) expect(factor).toBeGreaterThan(slowest - 0.12);
      const shown = factors.map((factor) => factor.toFixed(3)).join(" ");
      console.log(`κ = ${condition}: 1 - 1/κ = ${slowest}; error of K + 1 over that of K: ${shown}`);
    }
    expect(figure).toBe(file);
    const svg = await readFile(file, "utf8");
    for (const text of ["κ = 4", "κ = 20", "bound", "K, steps gone back"]) expect(svg).toContain(`>${text}<`);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("prints a table", async () => {
  const { code, stdout } = await run("--conditions", "3", "--inner-steps", "4");
  expect(stdout).toMatch(/^K +κ = 3: error +bound\n1 +\d\.\de-1 +\d\.\de[+-]\d$/m);
  expect(stdout).toMatch(/^4 +0\.0e\+0 +0\.0e\+0$/m);
  expect(code).toBe(0);
});

test.each(["deno", "browser"])("in %s it gives the same numbers, but for rounding", async (runtime) => {
  const flags = ["--conditions", "3", "--inner-steps", "3", "--json"];
  const [here, there] = await Promise.all([run(...flags), run("--runtime", runtime, ...flags)]);
  const expected = resultOf(here.stdout).points;
  resultOf(there.stdout).points.forEach(({ relativeError, bound }, i) => {
    expect(relativeError).toBeCloseTo(expected[i]!.relativeError, 5);
    expect(bound / (expected[i]!.bound || 1)).toBeCloseTo(expected[i]!.bound === 0 ? 0 : 1, 3);
  });
});

test.each([
  [["--conditions", "0.5"], "--conditions"],
  [["--inner-steps", "0"], "--inner-steps"],
])("%j is exit code 2 and says why", async (flags, why) => {
  const { code, stdout, stderr } = await run(...flags);
  expect(stderr).toContain(why);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});
