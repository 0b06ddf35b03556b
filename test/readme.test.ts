import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as hg from "../src/index.ts";
import { hypergrad, root } from "./cli/launcher.ts";
import { withGpu } from "./support/gpu.ts";

const gpu = withGpu((adapter) => `programs that the README shows, on ${adapter}`);

const readme = await readFile(join(root, "README.md"), "utf8");

// As a reader would save it, but for fewer outer steps.
test("the program on the README's one screen runs as it is", async () => {
  const [, program] = /## One screen\s+```ts\n(.*?)```/s.exec(readme)!;
  expect(program!.split("200")).toHaveLength(3);
  const folder = await mkdtemp(join(tmpdir(), "hypergrad-readme-"));
  try {
    const script = join(folder, "clean.ts");
    await writeFile(script, program!.replaceAll("200", "2"));
    const { code, stdout, stderr } = await hypergrad(["run", script]);
    expect(code, stderr).toBe(0);
    const [, first, second] = /^1 (\S+)\n2 (\S+)\n\{\s*weight: /.exec(stdout) ?? [];
    expect(Number(second)).toBeLessThan(Number(first));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the README's own operation is swish, with its derivatives", async () => {
  const [, program] = /const swish = (hg\.elementwise\(.*?\}\));/s.exec(readme)!;
  const swish = new Function("hg", `return ${program}`)(hg) as (x: hg.Tensor) => hg.Tensor;
  const points = [-100, -3, -0.5, 0, 0.5, 3, 100];
  const n = points.length;
  const f = await hg.differentiate(gpu(), {
    parameters: { x: hg.values(points) },
    loss: ({ x }) => hg.sum(swish(x)),
  });
  const ones = { parameters: { x: hg.filled([n], 1) }, hyper: {} };
  const [{ parameters: first }, { parameters: second }] = [await f.gradient(), await f.hvp(ones)];
  points.forEach((x, i) => {
    const s = 1 / (1 + Math.exp(-x));
    expect(first.x.data[i]).toBeCloseTo(s * (1 + x * (1 - s)), 6);
    expect(second.x.data[i]).toBeCloseTo(s * (1 - s) * (2 + x * (1 - 2 * s)), 6);
  });
  f.destroy();
});
