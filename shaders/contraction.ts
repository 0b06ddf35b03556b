import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { AFTER, type Finish, type LaneSum } from "./lane_sum.ts";
import { at, float, input, output, type View } from "./operand.ts";

/** Numbers a lane: γ, the smoothed curvature, and two of padding. */
export const CONTRACTION_LANE = 4;

/** ⟨g, Hg⟩ and ⟨g, g⟩ */
export function curvatureAlong(count: number, flat: View): LaneSum {
  return {
    count,
    type: "vec2f",
    declarations: `${input(0, "g", flat)}
${input(1, "hg", flat)}`,
    before: `let x = g[${at(flat, "i")}];`,
    term: `vec2f(x * hg[${at(flat, "i")}], x * x)`,
  };
}

export interface Contraction {
  readonly rate: Coefficient;
  readonly momentum: Coefficient;
  /** Share that the curvature of earlier steps keeps at each step. */
  readonly smoothing: number;
  /** The first step of a loop has nothing to smooth with. */
  readonly first: boolean;
}

/**
 * By how much a step of heavy ball shrinks a perturbation of w along g: the curvature κ = ⟨g, Hg⟩ / ⟨g, g⟩, smoothed
 * over steps, and γ = |ρ| for the larger root of ρ² - (1 + μ - ηκ) ρ + μ = 0 (Polyak 1964), which for μ = 0 is
 * |1 - ηκ|; at most 1.
 */
export function contraction({ rate, momentum, smoothing, first }: Contraction): Finish {
  return {
    declarations: `${output(AFTER, "gammas", { offset: 0, lane: CONTRACTION_LANE })}
${declareCoefficient(AFTER + 1, "rate", rate)}
${declareCoefficient(AFTER + 2, "momentum", momentum)}
${stepTable(AFTER + 3)}`,
    code: `let j = lane * ${CONTRACTION_LANE}u;
    // Where g = 0 nothing is learned of the curvature, and nothing is added to the sum either.
    var curvature = ${first ? "0.0" : "gammas[j + 1u]"};
    if (sum.y > 0.0) {
      let newest = sum.x / sum.y;
      curvature = ${first ? "newest" : `mix(newest, curvature, ${float(smoothing)})`};
    }
    let mu = ${coefficient("momentum", momentum)};
    let half = 0.5 * (1.0 + mu - ${coefficient("rate", rate)} * curvature);
    let discriminant = half * half - mu;
    var root = sqrt(mu);
    if (discriminant > 0.0) { root = abs(half) + sqrt(discriminant); }
    gammas[j] = min(root, 1.0);
    gammas[j + 1u] = curvature;`,
  };
}
