import { range } from "../range.ts";
import { type AdapterTraits, magnitude } from "../variants.ts";
import { fit } from "../width.ts";
import type { ConvTile } from "./tile.ts";
import type { WeightTile } from "./weight_gradient.ts";
import type { Conv } from "./window.ts";

/** A tile in registers; or one thread for each output; or an implicit matrix product in shared memory. */
export type ConvVariant = ConvTile | WeightTile | "plain" | "implicit";

/** The convolution itself and its adjoints. */
export type ConvProduct = "forward" | "input gradient" | "weight gradient";

/** What is to be computed: which product, and which halves of it. */
export interface ConvAsked {
  readonly product: ConvProduct;
  readonly conv: Conv;
  readonly work: Work;
  readonly lanes: number;
}

/** Halves of a product that a kernel computes, and of how many factors it reads primal and tangent. */
export interface Work {
  readonly primal: boolean;
  readonly tangent: boolean;
  /** Of the left and the right factor: does it carry a tangent? */
  readonly active: readonly [boolean, boolean];
}

/**
 * In multiply-adds: the prices of a read, of a broadcast, and of an element that is stored alone, as one of two or as one
 * of four; and sums that fit a thread.
 */
const adapters = {
  lavapipe: { read: 28, broadcast: 6, store: { 1: 40, 2: 30, 4: 20 }, sums: 112 },
  swiftshader: { read: 6, broadcast: 1, store: { 1: 12, 2: 8, 4: 5 }, sums: 96 },
} as const;

/** What a read as one of two or as one of four costs of a read alone. */
const VECTOR_READ = { 1: 1, 2: 0.8, 4: 0.65 } as const;

/** Multiply-adds below which a tile, seconds of a software adapter's compiler, does not pay. */
const WORTH_COMPILING = 2 ** 21;

export const products = ({ n, o, oh, ow, c, kh, kw }: Conv) => n * o * oh * ow * c * kh * kw;

/** The class of a convolution: which product and which halves of it, its magnitudes, and how the windows lie. */
export function convClass({ product, conv, lanes, work: { primal, tangent, active } }: ConvAsked): string {
  const { n, c, h, w, o, kh, kw, stride, padding } = conv;
  const halves = [primal && "p", tangent && active[0] && "dl", tangent && active[1] && "dr"].filter(Boolean);
  // Only the sum over the images depends on how many there are.
  const images = [...(product === "weight gradient" ? [n * lanes] : []), c, h, w].map(magnitude).join("×");
  return `${product} ${halves.join("+")} ${images} ${magnitude(o)}×${kh}×${kw}/${stride}+${padding}`;
}

/** The variant for a convolution: the tuned one of its class, or the one that should be the fastest. */
export function chooseConv(asked: ConvAsked, adapter: AdapterTraits): ConvVariant {
  const tuned = adapter.variants?.conv(asked);
  if (tuned !== undefined) return tuned;
  if (adapter.kind === "hardware") return "implicit";
  if (products(asked.conv) * asked.lanes < WORTH_COMPILING) return "plain";
  let best: ConvVariant = "plain";
  let least = Infinity;
  for (const { tile, cost } of priced(asked, adapter)) if (cost < least) [best, least] = [tile, cost];
  return best;
}

/** Variants for a tuner to try: first the one that is taken without it. */
export function convCandidates(asked: ConvAsked, adapter: AdapterTraits, most: number): ConvVariant[] {
  if (adapter.kind === "hardware") return ["implicit", "plain"];
  const tiles = [...priced(asked, adapter)].sort((a, b) => a.cost - b.cost);
  return [chooseConv(asked, adapter), ...tiles.slice(0, most).map(({ tile }) => tile), "plain"];
}

interface Priced {
  readonly tile: ConvTile | WeightTile;
  readonly cost: number;
}

function priced({ product, conv, work }: ConvAsked, adapter: AdapterTraits): Iterable<Priced> {
  const { o, ow, c, w, kh, kw, stride } = conv;
  if (product === "weight gradient") return weightTiles(conv, work, adapter);
  // The columns of the adjoint in x are whole strides.
  return product === "forward"
    ? windowTiles(
        { channels: o, columns: ow, taps: kw, step: 1, turns: c * kh },
        work,
        adapter,
        (cols) => (cols - 1) * stride + kw,
      )
    : windowTiles(
        { channels: c, columns: w, taps: kw, step: stride, turns: (o * kh) / stride },
        work,
        adapter,
        (cols) => Math.ceil((cols - 1 + kw) / stride),
      );
}

function traits({ kind, subgroupSize }: AdapterTraits) {
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

interface Windows {
  readonly channels: number;
  readonly columns: number;
  readonly taps: number;
  /** `cols` are a multiple of it. */
  readonly step: number;
  /** Of the loop over what is summed. */
  readonly turns: number;
}

/**
 * Tiles of a product in which a window of `taps` slides along `columns`; of a block of them it reads so many
 * elements. Each of these serves all of the tile's channels, each weight all of its columns.
 */
function* windowTiles(
  { channels, columns, taps, step, turns }: Windows,
  work: Work,
  adapter: AdapterTraits,
  reach: (cols: number) => number,
): Generator<Priced> {
  const { read, broadcast, store, sums, subgroup } = traits(adapter);
  const each = multiplicities(work);
  // Measured: a tangent alone whose factors both move reads four numbers for each sum, and wants fewer of those.
  const most = each.terms === 2 * each.sums ? 0.75 * sums : sums;
  const shared = subgroup === undefined ? read : read / subgroup + broadcast;
  for (const own of range(16).map((i) => i + 1)) {
    if (channels % own > 0) continue;
    for (let cols = step; cols <= Math.max(step, Math.min(16, columns + step - 1)); cols += step) {
      if (cols > step && own * cols * each.sums > most) break;
      const turn =
        reach(cols) * read * each.left +
        own * taps * shared * each.right +
        (own * taps * cols * each.terms) / step;
      const tile: ConvTile = { cols, channels: own, ...(subgroup !== undefined && { subgroup }) };
      const stored = own * cols * each.sums * store[fit([cols, columns])];
      yield { tile, cost: Math.ceil(columns / cols) * (channels / own) * (turns * turn + stored) };
    }
  }
}

/** Threads, or subgroups, that share the lines between them. */
const PARTS = 16;

/**
 * Of the numbers that should fit a thread, the share that the adjoint in the weights wants: measured, less where each
 * thread works out the places of all that it reads, and for two sums at once.
 */
const SHARE = { alone: 0.82, dual: 0.87 };

/** Tiles of the adjoint in the weights. */
function* weightTiles(conv: Conv, work: Work, adapter: AdapterTraits): Generator<Priced> {
  const { c, o, n, oh, ow, kh, kw, stride } = conv;
  const { read, broadcast, sums, subgroup } = traits(adapter);
  const each = multiplicities(work);
  const reach = (cols: number) => (cols - 1) * stride + kw;
  for (const together of subgroup === undefined ? [undefined] : [undefined, subgroup]) {
    const shared = together === undefined ? read : read / together + broadcast;
    const idle = together === undefined ? 1 : (Math.ceil(c / together) * together) / c;
    const most = sums * (together === undefined ? SHARE.alone : each.sums > 1 ? SHARE.dual : 1);
    for (const channels of range(16).map((i) => i + 1)) {
      if (o % channels > 0) continue;
      for (let cols = 1; cols <= Math.min(ow, 8); cols++) {
        const numbers = channels * (kh * kw * each.sums + cols * each.right) + reach(cols) * each.left;
        if (cols * channels > 1 && numbers > most) break;
        const vectors = together === undefined ? VECTOR_READ[fit([cols, ow])] : 1;
        const turn =
          kh * reach(cols) * read * each.left +
          channels * cols * shared * vectors * each.right +
          channels * cols * kh * kw * each.terms;
        const cost = Math.ceil(ow / cols) * (o / channels) * idle * turn;
        const threads = together === undefined ? (c * o) / channels : o / channels;
        const wanted = together === undefined ? 64 * PARTS : PARTS;
        const parts = Math.max(1, Math.min(Math.ceil(wanted / threads), Math.ceil((n * oh) / 8)));
        yield {
          tile: { cols, channels, parts, ...(together !== undefined && { subgroup: together }) },
          cost,
        };
      }
    }
  }
}
