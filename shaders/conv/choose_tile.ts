import type { ConvTile } from "./tile.ts";
import type { WeightTile } from "./weight_gradient.ts";
import { type Conv, range } from "./window.ts";

/** What the choice goes by. */
export interface ConvAdapter {
  readonly kind: "hardware" | "lavapipe" | "swiftshader" | "software";
  /** Threads of every subgroup, where shaders can use subgroups of one known size. */
  readonly subgroupSize?: number;
}

/** Halves of a product that a kernel computes, and of how many factors it reads primal and tangent. */
export interface Work {
  readonly primal: boolean;
  readonly tangent: boolean;
  /** Of the left and the right factor: does it carry a tangent? */
  readonly active: readonly [boolean, boolean];
}

/** The price of a read in multiply-adds, and sums that fit a thread. */
const adapters = {
  lavapipe: { read: 16, sums: 48 },
  swiftshader: { read: 6, sums: 96 },
} as const;

/** The price of a broadcast in multiply-adds. */
const BROADCAST = 1;

/** Multiply-adds below which a tile, seconds of a software adapter's compiler, does not pay. */
const WORTH_COMPILING = 2 ** 22;

export const products = ({ n, o, oh, ow, c, kh, kw }: Conv) => n * o * oh * ow * c * kh * kw;

export const isSmall = (conv: Conv) => products(conv) < WORTH_COMPILING;

function traits({ kind, subgroupSize }: ConvAdapter) {
  // A subgroup is a workgroup only where the driver is known to fill it.
  const subgroup = kind === "lavapipe" || kind === "swiftshader" ? subgroupSize : undefined;
  return {
    ...adapters[kind === "swiftshader" ? kind : "lavapipe"],
    ...(subgroup !== undefined && { subgroup }),
  };
}

/** Sums a product, reads a read element of the left and of the right factor. */
function multiplicities({ primal, tangent, active: [left, right] }: Work) {
  return {
    sums: Number(primal) + Number(tangent),
    terms: Number(primal) + Number(tangent && left) + Number(tangent && right),
    left: Number(primal || (tangent && right)) + Number(tangent && left),
    right: Number(primal || (tangent && left)) + Number(tangent && right),
  };
}

/** The tile of the convolution itself. */
export function forwardTile({ o, ow, kw, stride }: Conv, work: Work, adapter: ConvAdapter): ConvTile {
  return windowTile(
    { channels: o, columns: ow, taps: kw, step: 1 },
    work,
    adapter,
    (cols) => (cols - 1) * stride + kw,
  );
}

/** The tile of the adjoint in x; its columns are whole strides. */
export function inputGradientTile({ c, w, kw, stride }: Conv, work: Work, adapter: ConvAdapter): ConvTile {
  const slid = { channels: c, columns: w, taps: kw, step: stride };
  return windowTile(slid, work, adapter, (cols) => Math.ceil((cols - 1 + kw) / stride));
}

/**
 * The tile of a product in which a window of `taps` slides along `columns`; of a block of them it reads so many
 * elements. Each of these serves all of the tile's channels, each weight all of its columns.
 */
function windowTile(
  { channels, columns, taps, step }: { channels: number; columns: number; taps: number; step: number },
  work: Work,
  adapter: ConvAdapter,
  reach: (cols: number) => number,
): ConvTile {
  const { read, sums, subgroup } = traits(adapter);
  const each = multiplicities(work);
  const shared = subgroup === undefined ? read : read / subgroup + BROADCAST;
  let best: ConvTile = { cols: step, channels: 1 };
  let least = Infinity;
  for (const own of range(16).map((i) => i + 1)) {
    if (channels % own > 0) continue;
    for (let cols = step; cols <= Math.max(step, Math.min(16, columns + step - 1)); cols += step) {
      if (cols > step && own * cols * each.sums > sums) break;
      const turn =
        reach(cols) * read * each.left +
        own * taps * shared * each.right +
        (own * taps * cols * each.terms) / step;
      const cost = Math.ceil(columns / cols) * (channels / own) * turn;
      if (cost < least)
        [best, least] = [{ cols, channels: own, ...(subgroup !== undefined && { subgroup }) }, cost];
    }
  }
  return best;
}

/** Threads, or subgroups, that share the lines between them. */
const PARTS = 16;

/** The tile of the adjoint in the weights. */
export function weightGradientTile(conv: Conv, work: Work, adapter: ConvAdapter): WeightTile {
  const { c, o, n, oh, ow, kh, kw, stride } = conv;
  const { read, sums, subgroup } = traits(adapter);
  const each = multiplicities(work);
  let best: WeightTile = { cols: 1, channels: 1, parts: 1 };
  let least = Infinity;
  for (const together of subgroup === undefined ? [undefined] : [undefined, subgroup]) {
    const shared = together === undefined ? read : read / together + BROADCAST;
    const idle = together === undefined ? 1 : (Math.ceil(c / together) * together) / c;
    for (const channels of range(16).map((i) => i + 1)) {
      if (o % channels > 0 || (channels > 1 && channels * kh * kw * each.sums > sums)) continue;
      for (let cols = 1; cols <= Math.min(ow, 8); cols++) {
        const turn =
          kh * ((cols - 1) * stride + kw) * read * each.left +
          channels * cols * shared * each.right +
          channels * cols * kh * kw * each.terms;
        const cost = Math.ceil(ow / cols) * (o / channels) * idle * turn;
        if (cost >= least) continue;
        const threads = together === undefined ? (c * o) / channels : o / channels;
        const wanted = together === undefined ? 64 * PARTS : PARTS;
        const parts = Math.max(1, Math.min(Math.ceil(wanted / threads), Math.ceil((n * oh) / 8)));
        best = { cols, channels, parts, ...(together !== undefined && { subgroup: together }) };
        least = cost;
      }
    }
  }
  return best;
}
