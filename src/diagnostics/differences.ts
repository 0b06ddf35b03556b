/** Half of a unit in the last place of a float32 near 1. */
const HALF_ULP = 2 ** -24;
/** Spacing of the samples that rounding is told from, relative to the scale of the argument. */
const SPACING = 2 ** -13;

/**
 * Standard deviation of the rounding errors of a function computed in float32, from the third and fourth differences
 * of seven close values, which a smooth function has none of (Moré & Wild 2011, "ECnoise"); half a unit in the last
 * place at least.
 * @param centre the value at 0
 */
export async function noiseOf(
  centre: number,
  evaluate: (offset: number) => Promise<number>,
): Promise<number> {
  const samples: number[] = [];
  for (let j = -3; j <= 3; j++) samples.push(j === 0 ? centre : await evaluate(j * SPACING));
  const third = differences(differences(differences(samples)));
  const spread = (list: readonly number[], variance: number) =>
    Math.sqrt(list.reduce((sum, value) => sum + value * value, 0) / list.length / variance);
  // The k-th difference of independent errors has (2k)! / (k!)² times their variance.
  const measured = [spread(third, 20), spread(differences(third), 70)].filter(Number.isFinite);
  return Math.max(HALF_ULP * Math.abs(centre), ...measured);
}

function differences(list: readonly number[]): number[] {
  return list.slice(1).map((value, i) => value - list[i]!);
}

export interface Extrapolated {
  readonly value: number;
  /** What the extrapolation still moves, and three standard deviations of rounding; Infinity when nothing settles. */
  readonly errorBar: number;
  /** The finer step of the two that it comes from. */
  readonly step: number;
}

/**
 * The limit at step 0 of a central difference D(s) = limit + O(s²). Steps are halved from `start`; of the
 * extrapolations R_k = (4 D_k - D_{k-1}) / 3 the one is taken whose error bar is smallest among those that all finer
 * ones agree with, so that a plateau far outside of the smooth range is not believed.
 * @param options.noise standard deviation of the function's values
 * @param options.useless steps end where rounding makes a larger error than this
 */
export async function extrapolate(
  difference: (step: number) => Promise<number>,
  { start, most, noise, useless }: { start: number; most: number; noise: number; useless: number },
): Promise<Extrapolated> {
  const found: Extrapolated[] = [];
  let [coarse, last] = [Number.NaN, Number.NaN];
  let best = Number.POSITIVE_INFINITY;
  for (let k = 0, step = start; k <= most; k++, step /= 2) {
    const fine = await difference(step);
    const value = (4 * fine - coarse) / 3;
    // (16/9 + 1/36) σ² / 2s² is the variance of R_k.
    const rounding = (3 * 0.95 * noise) / step;
    const errorBar = Math.abs(value - last) + rounding;
    if (Number.isFinite(errorBar)) found.push({ value, errorBar, step });
    best = Math.min(best, Number.isFinite(errorBar) ? errorBar : best);
    if (rounding > Math.max(best, useless)) break;
    [coarse, last] = [fine, value];
  }
  const borneOut = found.filter((one, k) =>
    found.slice(k + 1).every((finer) => Math.abs(one.value - finer.value) <= one.errorBar + finer.errorBar),
  );
  return borneOut.reduce((least, one) => (one.errorBar < least.errorBar ? one : least), {
    value: 0,
    errorBar: Number.POSITIVE_INFINITY,
    step: start,
  });
}
