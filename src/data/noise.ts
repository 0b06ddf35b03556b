import type { Random } from "../random.ts";

export interface CorruptedLabels {
  labels: Int32Array;
  /** 1 where the label now differs from the true one, else 0. */
  corrupted: Uint8Array;
}

/**
 * Replaces each label with probability `p` by a uniformly random class, possibly the same one (Shaban et
 * al. 2019, §4.2.1), so about p · (1 − 1/classes) of the labels become wrong. With the same generator a
 * larger `p` corrupts the same examples and more.
 */
export function corruptLabels(
  labels: ArrayLike<number>,
  classes: number,
  p: number,
  random: Random,
): CorruptedLabels {
  if (!(p >= 0 && p <= 1)) throw new RangeError(`the noise must be a probability from 0 to 1, got ${p}`);
  const noisy = Int32Array.from(labels);
  const corrupted = new Uint8Array(noisy.length);
  noisy.forEach((label, i) => {
    // Both numbers are drawn every time: what one example gets does not hang on the others.
    const replaced = random.uniform() < p;
    const other = random.integer(classes);
    if (!replaced) return;
    noisy[i] = other;
    corrupted[i] = other === label ? 0 : 1;
  });
  return { labels: noisy, corrupted };
}

/** How well a mask finds the wrong labels. A ratio with nothing below the line counts as 0. */
export interface FlagScore {
  /** The part of the flagged examples that is corrupted. */
  precision: number;
  /** The part of the corrupted examples that is flagged. */
  recall: number;
  /** The harmonic mean of both. */
  f1: number;
}

/** Scores a mask (true or nonzero = flagged as wrong) against the truth. */
export function flagScore(flagged: ArrayLike<boolean | number>, corrupted: ArrayLike<number>): FlagScore {
  checkLengths(flagged.length, corrupted.length);
  let flags = 0;
  let wrong = 0;
  let hits = 0;
  for (let i = 0; i < flagged.length; i++) {
    if (flagged[i]) flags++;
    if (corrupted[i]) wrong++;
    if (flagged[i] && corrupted[i]) hits++;
  }
  return { precision: ratio(hits, flags), recall: ratio(hits, wrong), f1: ratio(2 * hits, flags + wrong) };
}

/**
 * The threshold that gives the highest F1 when the examples with score < threshold are flagged; the lowest
 * such threshold, halfway between two scores where it lies between scores. Time O(n log n).
 * @throws RangeError if a score is not finite
 */
export function bestThreshold(
  scores: Float32Array,
  corrupted: ArrayLike<number>,
): { threshold: number; f1: number } {
  checkLengths(scores.length, corrupted.length);
  const order = Uint32Array.from(scores, (score, i) => {
    if (!Number.isFinite(score)) throw new RangeError(`score ${i} is ${score}: scores must be finite`);
    return i;
  }).sort((i, j) => scores[i]! - scores[j]!);
  let wrong = 0;
  for (let i = 0; i < corrupted.length; i++) if (corrupted[i]) wrong++;

  const best = { threshold: scores[order[0] ?? 0] ?? 0, f1: 0 };
  let hits = 0;
  order.forEach((example, rank) => {
    if (corrupted[example]) hits++;
    const score = scores[example]!;
    const next =
      rank + 1 < order.length ? scores[order[rank + 1]!]! : score + (Math.abs(score) || 1) * 2 ** -23;
    if (next === score) return; // equal scores are flagged together
    const f1 = ratio(2 * hits, rank + 1 + wrong);
    if (f1 > best.f1) Object.assign(best, { threshold: (score + next) / 2, f1 });
  });
  return best;
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function checkLengths(given: number, truth: number): void {
  if (given !== truth) throw new RangeError(`${given} examples are scored against the truth of ${truth}`);
}
