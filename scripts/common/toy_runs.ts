/** Several runs on the toy problem side by side: what becomes of each, in numbers and in a figure. */
import type { Axis, Figure } from "../../src/index.ts";
import type { ToyPoint } from "./toy.ts";

/** A loss below this counts as solved. */
export const SOLVED = 0.01;
/** With a loss below this, w_T is mostly rounding when it started far away, and so is the direction of h. */
const ROUNDING = 1e-8;

export type ToyStart = "restart" | "warm";

export interface ToyRun {
  readonly start: ToyStart;
  readonly innerSteps: number;
  /** The estimator. */
  readonly label: string;
  readonly points: readonly ToyPoint[];
}

export interface ToyOutcome {
  /** Outer steps until the loss is below SOLVED; undefined if it never is. */
  readonly stepsToSolve: number | undefined;
  readonly lastLoss: number;
  /** The smallest cosine to the exact hypergradient until then; undefined if one of the two was always 0. */
  readonly leastCosine: number | undefined;
}

export function outcomeOf({ points }: ToyRun): ToyOutcome {
  const solved = points.findIndex(({ loss }) => loss < SOLVED);
  const way = solved === -1 ? points : points.slice(0, solved);
  const cosines = way.map(cosineOf).filter((cosine) => Number.isFinite(cosine));
  return {
    stepsToSolve: solved === -1 ? undefined : solved,
    lastLoss: points.at(-1)!.loss,
    leastCosine: cosines.length === 0 ? undefined : Math.min(...cosines),
  };
}

/** The cosine; NaN where one of the two hypergradients is 0, or so small that float32 has rounded its direction away. */
function cosineOf({ cosine, loss, hypergradient, exact }: ToyPoint): number {
  const isRounding = loss < ROUNDING || Math.hypot(...hypergradient) < 1e-3 * Math.hypot(...exact);
  return isRounding ? Number.NaN : cosine;
}

/** For each start a row of losses and below it a row of cosines; one column for each length of the inner loop. */
export function toyFigure(runs: readonly ToyRun[]): Figure {
  const starts = [...new Set(runs.map(({ start }) => start))];
  const horizons = [...new Set(runs.map(({ innerSteps }) => innerSteps))];
  const losses = runs.flatMap(({ points }) => points.map(({ loss }) => loss));
  const x: Axis = { title: "outer step", range: [0, runs[0]!.points.length - 1] };
  const decade = (loss: number, round: (power: number) => number) => 10 ** round(Math.log10(loss));
  const range = [
    decade(Math.max(Math.min(...losses), ROUNDING), Math.floor),
    decade(Math.max(...losses), Math.ceil),
  ] as const;
  const quantities: { readonly y: Axis; readonly of: (point: ToyPoint) => number }[] = [
    { y: { title: "validation loss", log: true, range }, of: ({ loss }) => loss },
    { y: { title: "cosine to exact", range: [-1.05, 1.05] }, of: cosineOf },
  ];
  const panels = starts.flatMap((start) =>
    quantities.flatMap(({ y, of }) =>
      horizons.map((innerSteps) => ({
        title: `${start}, T = ${innerSteps}`,
        x,
        y,
        curves: runs
          .filter((run) => run.start === start && run.innerSteps === innerSteps)
          .map(({ label, points }) => ({
            name: label,
            points: points.map((point, step) => [step, of(point)] as const),
          })),
      })),
    ),
  );
  return { panels, across: horizons.length };
}
