import {
  chooseMatmulTile,
  holdsRows,
  type MatmulShape,
  matmulGrid,
  matmulParts,
  matmul as matmulShader,
} from "../../../shaders/matmul.ts";
import type { View } from "../../../shaders/operand.ts";
import type { AdapterTraits } from "../../../shaders/variants.ts";
import { assertKnown } from "../../gpu/known.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { formatShape, ShapeError } from "../shape.ts";
import { type DType, type KernelCall, type Mode, type Rule, storage, type Tensor } from "../tensor.ts";
import { productReads } from "./bilinear.ts";
import { sum } from "./reduce.ts";

export interface MatmulOptions {
  /** Take a as its transpose: stored [k×m]. */
  transposeA?: boolean;
  /** Take b as its transpose: stored [n×k]. */
  transposeB?: boolean;
  /** Added to every row: [n]. */
  bias?: Tensor;
}

/** The matrix product of a [m×k] and b [k×n] (each may be stored transposed), plus a bias [n]. @throws ShapeError */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  assertKnown("matmul", options, { transposeA: true, transposeB: true, bias: true });
  const { transposeA = false, transposeB = false, bias } = options;
  assertTensors("matmul", a, b, ...(bias === undefined ? [] : [bias]));
  const [m, k] = transposeA ? [a.shape[1], a.shape[0]] : a.shape;
  const [k2, n] = transposeB ? [b.shape[1], b.shape[0]] : b.shape;
  const fits = a.shape.length === 2 && b.shape.length === 2 && k === k2;
  if (!fits || (bias && (bias.shape.length !== 1 || bias.shape[0] !== n))) {
    const shown = `${formatShape(a.shape)}${transposeA ? "ᵀ" : ""} · ${formatShape(b.shape)}${transposeB ? "ᵀ" : ""}`;
    throw new ShapeError(`matmul: ${shown}${bias ? ` + ${formatShape(bias.shape)}` : ""} do not fit`);
  }
  const stored = [a.dtype, b.dtype] as const;
  const product: Product = { m: m!, n: n!, k: k!, transposeA, transposeB, stored };
  return apply(rule(product), bias ? [a, b, bias] : [a, b], [m!, n!]);
}

/** x · Wᵀ + b: x [n×in], weight [out×in], bias [out]; result [n×out]. @throws ShapeError */
export function dense(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  assertTensors("dense", x, weight, ...(bias === undefined ? [] : [bias]));
  return matmul(x, weight, { transposeB: true, bias });
}

interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** How the factors are. */
  readonly stored: readonly [DType, DType];
}

function rule(product: Product): Rule {
  const { m, n, k, transposeA, transposeB } = product;
  return {
    name: "matmul",
    slots: 3,
    bytes: [0, 1],
    reads: productReads,
    ...(transposeA &&
      m > 1 && { beside: { sumsOf: 0, isWorthwhile: (adapter) => addsRowsAsFast(product, adapter) } }),
    parts: (mode, { adapter, lanes }) =>
      matmulParts(chooseMatmulTile(unboundShape(product, mode, lanes), adapter)),
    goesOn(mode, { adapter, lanes }) {
      const shape = unboundShape(product, mode, lanes);
      const tile = chooseMatmulTile(shape, adapter);
      return { byElement: matmulParts(tile) === 1, byRow: holdsRows(shape, tile) };
    },
    kernel(call, mode) {
      const shape = matmulShape(product, call, mode);
      const config = { ...shape, tile: chooseMatmulTile(shape, call.adapter) };
      const products =
        Number(mode.primal) + Number(config.da !== undefined) + Number(config.db !== undefined);
      return { code: matmulShader(config), grid: matmulGrid(config), flops: 2 * m * n * k * products };
    },
    vjp: ([a, b, bias], _output, cotangent) => [
      transposeA
        ? matmul(b!, cotangent, { transposeA: transposeB, transposeB: true })
        : matmul(cotangent, b!, { transposeB: !transposeB }),
      transposeB
        ? matmul(cotangent, a!, { transposeA: true, transposeB: transposeA })
        : matmul(a!, cotangent, { transposeA: !transposeA }),
      ...(bias ? [sum(cotangent, 0)] : []),
    ],
  };
}

/** Are the sums over k of the m rows of A, which one workgroup adds up, soon done, compared with another launch? */
function addsRowsAsFast({ m, k }: Product, { kind }: AdapterTraits): boolean {
  // Threads of its workgroup, those that share a sum, and terms that a thread may add up.
  const [threads, together, terms] = kind === "hardware" ? [256, Math.floor(256 / m), 512] : [8, 1, 8192];
  return Math.ceil(m / threads) * Math.ceil(k / Math.max(1, together)) <= terms;
}

/** Stands for a buffer that the mode does not bind. */
const unbound: View = { offset: 0, lane: 0 };

function matmulShape(
  { m, n, k, transposeA, transposeB }: Product,
  { inputs: [a, b, bias], out, sums, rows, lanes }: Omit<KernelCall, "adapter">,
  { primal, tangent }: Mode,
): MatmulShape {
  return {
    m,
    n,
    k,
    lanes,
    aRow: transposeA ? 1 : k,
    aCol: transposeA ? m : 1,
    bRow: transposeB ? 1 : n,
    bCol: transposeB ? k : 1,
    a: a!.primal ?? unbound,
    da: a!.tangent,
    b: b!.primal ?? unbound,
    db: b!.tangent,
    bias: bias && (bias.primal ?? unbound),
    dbias: bias?.tangent,
    out: out.primal ?? unbound,
    dout: out.tangent ?? unbound,
    ...(out.after && { after: out.after }),
    ...(rows && { rows }),
    ...(sums?.primal && { sum: sums.primal }),
    ...(sums?.tangent && { dsum: sums.tangent }),
    primal,
    tangent,
  };
}

/** The shape before anything has its place: whether a tile is in parts, or should hold rows, goes by no more than this. */
function unboundShape(product: Product, mode: Mode, lanes: number): MatmulShape {
  const inputs = mode.active.map((active, k) => ({
    ...{ shape: [], primal: { ...unbound, ...storage(product.stored[k]) } },
    ...(active && { tangent: unbound }),
  }));
  return matmulShape(product, { inputs, out: { shape: [] }, lanes }, mode);
}
