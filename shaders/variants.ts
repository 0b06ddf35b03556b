import type { ConvAsked, ConvVariant } from "./conv/choose_tile.ts";
import type { MatmulTile } from "./matmul/choose_tile.ts";
import type { MatmulShape } from "./matmul/product.ts";

/** The variant of a kernel, where one is known to be the fastest. */
export interface Variants {
  matmul(shape: MatmulShape): MatmulTile | undefined;
  conv(asked: ConvAsked): ConvVariant | undefined;
}

/** What the choice of a variant goes by. */
export interface AdapterTraits {
  readonly kind: "hardware" | "lavapipe" | "swiftshader" | "software";
  /** Threads of every subgroup, where shaders can use subgroups of one known size. */
  readonly subgroupSize?: number;
  readonly variants?: Variants;
  /** Storage buffers that a kernel may bind, of which WebGPU promises 8. */
  readonly buffers: number;
}

/** Shapes of one class have the same magnitudes: powers of two. */
export const magnitude = (count: number): number => 2 ** Math.round(Math.log2(count));
