import { expect, test } from "vitest";
import { lanczos } from "../../src/diagnostics/lanczos.ts";

/** x → D x with these eigenvalues; as the start is random, no other matrix of them would be harder. */
const diagonal = (eigenvalues: readonly number[]) => (x: Float32Array) =>
  Promise.resolve(x.map((element, i) => eigenvalues[i]! * element));

const range = (count: number, value: (i: number) => number) =>
  Array.from({ length: count }, (_, i) => value(i));

const spectra: readonly [name: string, eigenvalues: number[]][] = [
  ["even", range(300, (i) => (i + 1) / 300)],
  ["logarithmic, condition 1e4", range(500, (i) => 10 ** ((-4 * i) / 499))],
  ["one outlier", range(1000, (i) => (i === 0 ? 10 : 1 + i / 1000))],
  ["indefinite", range(200, (i) => Math.cos(i))],
  ["crowded at the top", range(2000, (i) => 1 - (i / 2000) ** 3)],
  ["three values", range(60, (i) => [2, 5, 11][i % 3]!)],
  ["identity", range(50, () => 3)],
  ["zero", range(20, () => 0)],
  ["one number", [-2.5]],
];

test.each(spectra)("bounds hold: %s", async (_name, eigenvalues) => {
  const [low, high] = [Math.min(...eigenvalues), Math.max(...eigenvalues)];
  const lines: string[] = [];
  for (const steps of [4, 12, 40]) {
    let [above, below] = [0, 0];
    for (let seed = 0; seed < 10; seed++) {
      const found = await lanczos(diagonal(eigenvalues), eigenvalues.length, { steps, seed });
      // 270 pairs of bounds that each fail with a probability below 0.001.
      expect(found.largest).toBeGreaterThanOrEqual(high);
      expect(found.smallest).toBeLessThanOrEqual(low);
      const slack = 1e-6 * Math.max(Math.abs(low), Math.abs(high));
      expect(found.met[0]).toBeGreaterThanOrEqual(low - slack);
      expect(found.met[1]).toBeLessThanOrEqual(high + slack);
      expect(found.products).toBeLessThanOrEqual(Math.min(steps, eigenvalues.length) + 1);
      above = Math.max(above, found.largest - high);
      below = Math.max(below, low - found.smallest);
    }
    const width = high - low || Math.abs(high) || 1;
    lines.push(`k = ${steps}: ${(above / width).toExponential(1)} ${(below / width).toExponential(1)}`);
  }
  console.log(
    `${_name}: largest excess above and below, over the width of the spectrum: ${lines.join(", ")}`,
  );
});

test("they fail about as seldom as they say when they are allowed to", async () => {
  const eigenvalues = range(400, (i) => 1 - ((i + 1) / 400) ** 3);
  const runs = 200;
  for (const failureProbability of [0.5, 0.1]) {
    let failures = 0;
    for (let seed = 0; seed < runs; seed++) {
      const found = await lanczos(diagonal(eigenvalues), eigenvalues.length, {
        steps: 10,
        failureProbability,
        seed,
      });
      if (found.largest < eigenvalues[0]! || found.smallest > eigenvalues.at(-1)!) failures++;
    }
    const deviation = Math.sqrt(runs * failureProbability * (1 - failureProbability));
    console.log(`failure probability ${failureProbability}: ${failures} of ${runs} starts failed`);
    expect(failures).toBeLessThan(runs * failureProbability + 3 * deviation);
  }
});

test("wrong options are refused", async () => {
  const product = diagonal([1, 2]);
  await expect(lanczos(product, 2, { steps: 0 })).rejects.toThrow("whole number > 0");
  await expect(lanczos(product, 2, { failureProbability: 1 })).rejects.toThrow("in (0, 1)");
  await expect(lanczos(diagonal([1, Number.NaN]), 2)).rejects.toThrow("not finite");
});
