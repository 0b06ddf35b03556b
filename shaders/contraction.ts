import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { type Coefficient, coefficient, declareCoefficient, stepTable } from "./coefficient.ts";
import { at, float, input, output, type View } from "./operand.ts";
import { foldTree } from "./tree.ts";

const WIDTH = 256;

/** Numbers a lane: γ, the smoothed curvature, and two of padding. */
export const CONTRACTION_LANE = 4;

export interface Contraction {
  readonly count: number;
  readonly view: View;
  readonly rate: Coefficient;
  readonly momentum: Coefficient;
  /** Share that the curvature of earlier steps keeps at each step. */
  readonly smoothing: number;
  /** The first step of a loop has nothing to smooth with. */
  readonly first: boolean;
}

/**
 * By how much a step of heavy ball shrinks a perturbation of w along g, a workgroup a lane: the curvature
 * κ = ⟨g, Hg⟩ / ⟨g, g⟩, smoothed over steps, and γ = |ρ| for the larger root of ρ² - (1 + μ - ηκ) ρ + μ = 0 (Polyak
 * 1964), which for μ = 0 is |1 - ηκ|; at most 1.
 */
export function contraction({ count, view, rate, momentum, smoothing, first }: Contraction): string {
  const element = at(view, "i");
  return wgsl`
${input(0, "g", view)}
${input(1, "hg", view)}
${output(2, "gammas", view)}
${declareCoefficient(3, "rate", rate)}
${declareCoefficient(4, "momentum", momentum)}
${stepTable(5)}
var<workgroup> sums: array<vec2f, ${WIDTH}>;
@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = group.z;
  var sum = vec2f(0.0);
  for (var i = local; i < ${count}u; i += ${WIDTH}u) {
    let x = g[${element}];
    sum += vec2f(x * hg[${element}], x * x);
  }
  sums[local] = sum;
  ${foldTree("sums", WIDTH)}
  if (local == 0u) {
    let j = lane * ${CONTRACTION_LANE}u;
    // Where g = 0 nothing is learned of the curvature, and nothing is added to the sum either.
    var curvature = ${first ? "0.0" : "gammas[j + 1u]"};
    if (sums[0].y > 0.0) {
      let newest = sums[0].x / sums[0].y;
      curvature = ${first ? "newest" : `mix(newest, curvature, ${float(smoothing)})`};
    }
    let mu = ${coefficient("momentum", momentum)};
    let half = 0.5 * (1.0 + mu - ${coefficient("rate", rate)} * curvature);
    let discriminant = half * half - mu;
    var root = sqrt(mu);
    if (discriminant > 0.0) { root = abs(half) + sqrt(discriminant); }
    gammas[j] = min(root, 1.0);
    gammas[j + 1u] = curvature;
  }
}`;
}
