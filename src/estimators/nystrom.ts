import { type HessianColumns, nystromApply, nystromSystem, solveSystem } from "../../shaders/nystrom.ts";
import { linearGrid } from "../../shaders/operand.ts";
import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError, positive } from "../bilevel/problem.ts";
import { Block } from "../gpu/block.ts";
import { bindings } from "../gpu/dispatch.ts";
import { assertKnown } from "../gpu/known.ts";
import { Random } from "../random.ts";
import { implicit } from "./implicit.ts";

export interface NystromOptions {
  /** k, columns of the Hessian; all P of them where it is more. */
  readonly rank: number;
  /** ρ, added to the diagonal. */
  readonly rho?: number;
  /** Chooses the columns. */
  readonly seed?: number;
}

/**
 * Implicit differentiation by Nyström's low-rank inverse (Hataya & Yamada 2023): with k columns C of H, chosen at
 * random, and W their rows of the same indices, q = (C W⁻¹ Cᵀ + ρI)⁻¹ g by Woodbury's identity. k products, all at
 * once as columns, and one mixed product; memory P·k.
 * @throws ProblemError for options out of range; what `implicit` throws.
 */
export function nystrom(options: NystromOptions): Estimator {
  assertKnown("nystrom", options, { rank: true, rho: true, seed: true });
  const { rank: most, rho = 0.01, seed = 0 } = options;
  positive("rank", most);
  if (!(Number.isFinite(rho) && rho > 0)) throw new ProblemError(`ρ is ${rho}: give a number > 0`);
  return implicit({
    name: "nystrom",
    settings: { rank: most, rho, seed },
    products: ({ parameters }) => Math.min(most, parameters),
    solve(unroll) {
      const { lanes } = unroll;
      const { count, view } = unroll.flat;
      const rank = Math.min(most, count);
      const indices = new Random(seed).permutation(count).slice(0, rank);
      const columns = unroll.columns(rank);
      columns.parameters.initial = unitColumns(indices, view.lane, lanes);
      unroll.columnProducts(columns);

      const shape: HessianColumns = { count, view, lanes, indices: [...indices] };
      const system = new Block("Nyström's system", "bookkeeping", 4 * rank * (rank + 1) * lanes);
      const q = unroll.vector("q");
      const hessian = ["read", { block: columns.gradient }] as const;
      const g = ["read", { block: unroll.vectors.adjoint }] as const;
      unroll.main.add({
        label: "nystrom system",
        code: nystromSystem(shape, rho),
        bindings: bindings(
          hessian,
          g,
          ["read", { block: new Block("columns chosen", "bookkeeping", indices.byteLength, indices) }],
          ["overwrite", { block: system }],
        ),
        grid: [rank + 1, rank, lanes],
        flops: 2 * rank * (rank + 1) * count,
        bytes: 8 * rank * (rank + 1) * count * lanes,
      });
      unroll.perLane("solve", solveSystem(rank), rank ** 3, [["write", { block: system }]]);
      unroll.main.add({
        label: "nystrom apply",
        code: nystromApply(shape, rho),
        bindings: bindings(hessian, g, ["read", { block: system }], ["overwrite", { block: q }]),
        grid: linearGrid(count, lanes),
        flops: 2 * rank * count,
        bytes: 4 * rank * count * lanes,
      });
      return q;
    },
  });
}

/** Column j is the unit vector of index j, in every lane. */
function unitColumns(indices: Uint32Array, stride: number, lanes: number): Float32Array {
  const columns = new Float32Array(indices.length * lanes * stride);
  indices.forEach((index, j) => {
    for (let lane = 0; lane < lanes; lane++) columns[(j * lanes + lane) * stride + index] = 1;
  });
  return columns;
}
