import { expect, test } from "vitest";
import { convForward, forwardThreads } from "../../shaders/conv/forward.ts";
import { convInputGradient, inputGradientThreads } from "../../shaders/conv/input_gradient.ts";
import { plainForward, plainInputGradient, plainWeightGradient } from "../../shaders/conv/plain.ts";
import { convWeightGradient, weightGradientGrid } from "../../shaders/conv/weight_gradient.ts";
import { type Conv, type ConvTile, divisor } from "../../shaders/conv/window.ts";
import { linearGrid, type Operand } from "../../shaders/operand.ts";
import { align, Block } from "../../src/gpu/block.ts";
import { type Binding, Sequence } from "../../src/gpu/dispatch.ts";
import { Executable } from "../../src/gpu/executable.ts";
import { Random } from "../../src/random.ts";
import { type ConvShape, convShapes } from "../support/conv_cases.ts";
import { withGpu } from "../support/gpu.ts";

/** Padding, strides that leave a rest, more columns than one tile has; each kernel takes seconds to compile. */
const shapes = convShapes.slice(2, 4);
const LANES = 2;
const BUDGET = 16 * 2 ** -24;

const gpu = withGpu(
  (adapter) =>
    `${shapes.length} convolutions × 3 products × 4 modes: tiles against the plain kernels, ${LANES} lanes, on ${adapter}`,
);

/** Which halves a kernel computes: the primal, and the tangent of the left and of the right factor. */
const modes = [
  { primal: true, left: false, right: false },
  { primal: true, left: true, right: true },
  { primal: false, left: true, right: false },
  { primal: false, left: false, right: true },
];
type Mode = (typeof modes)[number];

function convOf({ images: [n, c, h, w], kernel: [o, kh, kw], stride = 1, padding = 0 }: ConvShape): Conv {
  const oh = Math.floor((h + 2 * padding - kh) / stride) + 1;
  const ow = Math.floor((w + 2 * padding - kw) / stride) + 1;
  return { n, c, h, w, o, kh, kw, stride, padding, oh, ow };
}

test.each(shapes.map((shape) => [JSON.stringify(shape), convOf(shape)] as const))("%s", async (_, conv) => {
  const { n, c, h, w, o, kh, kw, oh, ow, stride } = conv;
  const sizes = { x: n * c * h * w, weight: o * c * kh * kw, y: n * o * oh * ow };
  const tile = (channels: number): ConvTile => ({ channels: divisor(channels, 2), cols: 2 * stride });
  for (const mode of modes) {
    await agree(mode, [sizes.x, sizes.weight, sizes.y], 3, {
      plain: ([x, weight, y]) => plainForward(conv, x, weight, undefined, y),
      tiled: ([x, weight, y]) => convForward(conv, tile(o), x, weight, undefined, y),
      grid: linearGrid(forwardThreads(conv, tile(o))),
    });
    await agree(mode, [sizes.y, sizes.weight, sizes.x], 2, {
      plain: ([y, weight, x]) => plainInputGradient(conv, y, weight, x),
      tiled: ([y, weight, x]) => convInputGradient(conv, tile(c), y, weight, x),
      grid: linearGrid(inputGradientThreads(conv, tile(c))),
    });
    await agree(mode, [sizes.x, sizes.y, sizes.weight], 2, {
      plain: ([x, y, weight]) => plainWeightGradient(conv, x, y, weight),
      tiled: ([x, y, weight]) => convWeightGradient(conv, tile(o), x, y, weight),
      grid: weightGradientGrid(conv, tile(o)),
    });
  }
});

type Operands = [left: Operand, right: Operand, out: Operand];

interface Kernels {
  plain(operands: Operands): string;
  tiled(operands: Operands): string;
  grid: readonly [number, number];
}

/** Runs both kernels on the same random factors. `slot` is the output's. */
async function agree(
  { primal, left, right }: Mode,
  [l, r, size]: readonly [number, number, number],
  slot: number,
  { plain, tiled, grid }: Kernels,
): Promise<void> {
  const random = new Random(7);
  const factor = (count: number) => {
    const lane = align(count, 4);
    const data = Float32Array.from({ length: lane * LANES }, () => random.normal());
    return { view: { offset: 0, lane }, block: new Block("factor", "data", data.byteLength, data) };
  };
  const [a, da, b, db] = [factor(l), factor(l), factor(r), factor(r)];
  const view = { offset: 0, lane: align(size, 4) };
  const tangent = left || right;
  const operands: Operands = [
    { primal: primal || right ? a.view : undefined, tangent: left ? da.view : undefined },
    { primal: primal || left ? b.view : undefined, tangent: right ? db.view : undefined },
    { primal: primal ? view : undefined, tangent: tangent ? view : undefined },
  ];
  const made = [
    { code: plain(operands), grid: linearGrid(size) },
    { code: tiled(operands), grid },
  ].map(({ code, grid }) => {
    const outs = [0, 1].map(() => new Block("out", "activations", 4 * view.lane * LANES));
    const bindings: Binding[] = [
      ...[a, da, b, db].flatMap(({ block }, index): Binding[] => {
        const operand = operands[index < 2 ? 0 : 1];
        const bound = index % 2 === 0 ? operand.primal : operand.tangent;
        return bound ? [{ binding: index, access: "read", resource: { block } }] : [];
      }),
      ...outs.flatMap((block, part): Binding[] =>
        (part === 0 ? primal : tangent)
          ? [{ binding: 2 * slot + part, access: "write", resource: { block } }]
          : [],
      ),
    ];
    const sequence = new Sequence("convolution");
    sequence.add({ label: "conv", code, bindings, grid: [...grid, LANES], flops: 0, bytes: 0 });
    return { outs, sequence };
  });
  const executable = await Executable.build(
    gpu(),
    made.map(({ sequence }) => sequence),
  );
  try {
    executable.run(...made.map(({ sequence }) => sequence));
    for (const part of [0, 1]) {
      if (!(part === 0 ? primal : tangent)) continue;
      const [wanted, found] = await Promise.all(
        made.map(({ outs }) => executable.readFloats(outs[part]!, 0, view.lane * LANES)),
      );
      const norm = Math.hypot(...wanted!);
      expect(norm).toBeGreaterThan(0);
      expect(Math.hypot(...wanted!.map((value, i) => value - found![i]!)) / norm).toBeLessThan(BUDGET);
    }
  } finally {
    executable.destroy();
  }
}
