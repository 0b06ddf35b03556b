/** A mean over seeds and how far it can be trusted. */
export interface Estimate {
  readonly mean: number;
  /** Half the width of the 95 % confidence interval for the mean by Student's t; absent for a single number. */
  readonly halfWidth?: number;
  readonly each: readonly number[];
}

/** The 97.5 % quantiles of Student's t with 1, 2, … degrees of freedom. */
const QUANTILES = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/** The same for normal numbers. */
const NORMAL = 1.959964;

/** For more degrees of freedom, by the first terms of its expansion in 1/ν (Abramowitz & Stegun 26.7.5): off by < 1e-4. */
function quantile(freedom: number): number {
  const [z, v] = [NORMAL, freedom];
  return (
    QUANTILES[v - 1] ??
    z +
      (z ** 3 + z) / (4 * v) +
      (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * v ** 2) +
      (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * v ** 3)
  );
}

export function estimate(each: readonly number[]): Estimate {
  const mean = each.reduce((sum, value) => sum + value, 0) / each.length;
  const freedom = each.length - 1;
  if (freedom < 1) return { mean, each };
  const variance = each.reduce((sum, value) => sum + (value - mean) ** 2, 0) / freedom;
  return { mean, halfWidth: quantile(freedom) * Math.sqrt(variance / each.length), each };
}

/** "0.384 ± 0.012" */
export function shown({ mean, halfWidth }: Estimate, digits: number, factor = 1): string {
  const middle = (factor * mean).toFixed(digits);
  return halfWidth === undefined ? middle : `${middle} ± ${(factor * halfWidth).toFixed(digits)}`;
}
