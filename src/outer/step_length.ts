/** What became of the step length at an outer step. */
export type StepChange = "first" | "longer" | "same" | "shorter";

const SLACK = { loss: 0.25, slope: 1.25 };
const LONGER = 0.95;
const SHORTER = 2;
/** A first hypergradient below this gives no scale for a step. */
const FLAT = 1e-3;

/**
 * HOAG's adaptive step length 1/L_k (Pedregosa 2016, §5, and the rule of its reference implementation, hoag.py). With
 * Δ = ‖α_k - α_{k-1}‖ and the error that the tolerances allow,
 * s = ¼ ε_k |E_1| + (¼ + 1) ε_{k-1} ‖p_1‖ Δ,
 * L is multiplied by 0.95 when E_k ≤ E_{k-1} + s - ½ L Δ², by 2 when E_k > E_{k-1} + s, and else kept. L_1 = ‖p_1‖/√H, so
 * that the root mean square of the first move is 1; L_1 = 1 where ‖p_1‖ ≤ 0.001.
 *
 * Where it differs: E_1 and ‖p_1‖ give the errors E's scale; L Δ² has the ½ of the descent lemma, as without it no
 * convex E would ever meet the condition; a step is judged by the move that led to it, not by the next one, and not where
 * w was within the tolerance already and stayed; and L grows at any rise that the errors do not explain, not only at
 * one of a fifth.
 */
export class StepLength {
  #curvature: number | undefined;
  #scale: { readonly loss: number; readonly slope: number } | undefined;
  #last: { readonly loss: number; readonly tolerance: number; readonly moved: number } | undefined;

  /** `first`: 1/L_1. */
  constructor(first?: number) {
    this.#curvature = first === undefined ? undefined : 1 / first;
  }

  /** 1/L_k for the move from α_k, given E_k, ε_k and ‖p_k‖ of `count` elements. `fresh`: w has moved since α did. */
  next(step: { loss: number; tolerance: number; slope: number; count: number; fresh: boolean }): {
    length: number;
    change: StepChange;
  } {
    const { loss, tolerance, slope, count, fresh } = step;
    this.#scale ??= { loss: Math.abs(loss), slope };
    const change = this.#judge(loss, tolerance, fresh);
    const before = this.#curvature ?? (slope > FLAT ? slope / Math.sqrt(count) : 1);
    this.#curvature = before * { first: 1, longer: LONGER, same: 1, shorter: SHORTER }[change];
    return { length: 1 / this.#curvature, change };
  }

  /** α moved by `distance` from where E and ε were these. */
  moved(distance: number, { loss, tolerance }: { loss: number; tolerance: number }): void {
    this.#last = { loss, tolerance, moved: distance };
  }

  #judge(loss: number, tolerance: number, fresh: boolean): StepChange {
    if (this.#last === undefined || this.#curvature === undefined || this.#scale === undefined)
      return "first";
    const { loss: before, tolerance: loose, moved } = this.#last;
    if (moved === 0 || !fresh) return "same";
    const slack = SLACK.loss * tolerance * this.#scale.loss + SLACK.slope * loose * this.#scale.slope * moved;
    if (loss > before + slack) return "shorter";
    return loss <= before + slack - (this.#curvature * moved ** 2) / 2 ? "longer" : "same";
  }
}
