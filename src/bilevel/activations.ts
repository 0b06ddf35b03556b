import type { Resource } from "../gpu/block.ts";
import type { Program } from "../graph/program.ts";
import type { Tensor } from "../graph/tensor.ts";
import { Trajectory } from "./trajectory.ts";

/** What the Hessian products of some inner steps read of the steps' gradients, in rings of so many steps. */
export class Activations {
  readonly gradient: Program;
  readonly #rings: ReadonlyMap<Tensor, Trajectory>;

  /** A buffer may have `limit` bytes. `product` reads all that products to come will read. */
  constructor(gradient: Program, product: Program, { slots, limit }: { slots: number; limit: number }) {
    const kept = gradient.lent(product);
    const bytes = gradient.keep(kept);
    this.gradient = gradient;
    this.#rings = new Map(
      kept.map((value, i) => [value, new Trajectory("activations", slots, bytes[i]!, limit)]),
    );
  }

  /** @throws Error where a product reads more than is kept */
  assertCovers(product: Program): void {
    if (this.gradient.lent(product).some((value) => !this.#rings.has(value)))
      throw new Error(`"${product.name}" reads activations that are not kept`);
  }

  /** Where those of step t stand. */
  of(t: number): [Tensor, Resource][] {
    // A kernel may read more of them than it may have bindings with dynamic offsets.
    return [...this.#rings].map(([value, ring]) => [value, { ...ring.slot(t), dynamic: false }]);
  }
}
