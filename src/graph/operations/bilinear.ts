import type { Mode } from "../tensor.ts";

/** What a product of two factors, plus a bias, reads: a primal also where the other factor carries a tangent. */
export const productReads = ({ primal, active: [a, b, ...bias] }: Mode): boolean[] => [
  primal || b!,
  primal || a!,
  ...bias.map(() => primal),
];
