import { expect, test } from "vitest";
import { leaf } from "../../src/graph/tensor.ts";
import { batchNorm, differentiate, Random, ShapeError, squaredNorm, sum, values } from "../../src/index.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `batchNorm: what it refuses, mean and variance, on ${adapter}`);

const x = (...shape: number[]) => leaf("x", shape);

test.each([
  ["a single number a channel", () => batchNorm(x(1, 4)), ["[1×4]", "variance"]],
  ["a single pixel of one image", () => batchNorm(x(1, 4, 1, 1)), ["[1×4×1×1]", "variance"]],
  ["three axes", () => batchNorm(x(2, 3, 4)), ["[2×3×4]", "[n×c×h×w]"]],
  ["a factor for other channels", () => batchNorm(x(5, 3), { scale: x(4) }), ["[5×3]", "[4]"]],
  ["a shift of two axes", () => batchNorm(x(5, 3), { shift: x(3, 1) }), ["[3×1]"]],
] as const)("%s is refused", (_what, attempt, named) => {
  expect(attempt).toThrow(ShapeError);
  for (const part of named) expect(attempt).toThrow(part);
});

test("a channel far from zero comes out with mean 0 and variance 1", async () => {
  const [n, c, h, w] = [6, 3, 5, 4];
  const random = new Random(1);
  const images = values(
    Float32Array.from({ length: n * c * h * w }, (_, i) => 100 + 3 * (i % c) + random.normal()),
    [n, c, h, w],
  );
  const measure = async (loss: typeof squaredNorm | typeof sum) => {
    const f = await differentiate(gpu(), { parameters: { x: images }, loss: ({ x }) => loss(batchNorm(x)) });
    const [value] = await f.value();
    f.destroy();
    return value! / images.data.length;
  };
  expect(Math.abs(await measure(sum))).toBeLessThan(1e-5);
  expect(Math.abs((await measure(squaredNorm)) - 1)).toBeLessThan(1e-4);
});
