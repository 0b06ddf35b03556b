import { formatBytes } from "../gpu/memory.ts";
import { digits } from "../report/digits.ts";
import { table } from "../report/table.ts";
import type { GradientCheck } from "./check_gradient.ts";
import type { Compared, ComparisonResult, ProblemSizes, Refused } from "./compare.ts";
import type { Profile } from "./profile.ts";

/** A comparison as text: a table, how linear solves ended, and the reasons of the estimators that have no row. */
export function formatComparison<H extends string>(result: ComparisonResult<H>): string {
  const { problem, reference, estimators, adapter } = result;
  const groups = Object.keys(problem.groups) as H[];
  const several = groups.length > 1 ? groups : [];
  const compared = estimators.filter((row): row is Compared<H> => row.error === undefined);
  const refused = estimators.filter((row): row is Refused => row.error !== undefined);
  const headings = [
    "estimator",
    "cosine",
    "relative error",
    ...several.map((group) => `error of ${group}`),
    "products",
    "ms",
    "memory",
    "without data",
  ];
  const rows = compared.map((row) => [
    row.label,
    formatCosine(row.cosine),
    formatError(row.relativeError),
    ...several.map((group) => formatError(row.groups[group].relativeError)),
    String(row.products),
    row.ms < 100 ? row.ms.toPrecision(3) : row.ms.toFixed(0),
    formatBytes(row.bytes),
    formatBytes(row.bytes - (row.memory.data ?? 0)),
  ]);
  return [
    ...(rows.length > 0 ? [table(headings, rows), ""] : []),
    ...compared.flatMap(({ label, solves = [] }) => {
      const [worst] = [...solves].sort((a, b) => b.residual - a.residual);
      if (worst === undefined) return [];
      return [
        `${label}: ${worst.status}, ${worst.iterations} iterations, residual ${formatError(worst.residual)}`,
      ];
    }),
    ...refused.map(({ label, error }) => `${label}: no result: ${error}`),
    reference.error === undefined
      ? `cosine and relative error: against ${reference.name}; ms: an outer step with its inner loop, median`
      : `there is nothing to compare with: ${reference.name}: ${reference.error}`,
    formatSizes(problem),
    `adapter: ${adapter}`,
  ].join("\n");
}

/** A comparison without its vectors, for JSON: cosines and errors that are no number are null there. */
export function comparisonSummary<H extends string>({ estimators, ...result }: ComparisonResult<H>) {
  return {
    ...result,
    estimators: estimators.map((row) => {
      if (row.error !== undefined) return row;
      const { hypergradient: _, ...rest } = row;
      return rest;
    }),
  };
}

/** A gradient check as text: a table, and what to do where it does not agree. */
export function formatCheck(check: GradientCheck): string {
  const { estimator, groups, outerLoss, problem, adapter } = check;
  const rows = groups.flatMap(({ group, directions }) =>
    directions.map((found) => [
      `${group}, ${found.direction}`,
      found.differences.toPrecision(6),
      found.errorBar.toExponential(1),
      found.estimator.toPrecision(6),
      found.step.toPrecision(2),
      found.noise.toExponential(1),
      found.verdict,
    ]),
  );
  const headings = ["", "by differences", "±", `by ${estimator}`, "step", "rounding", ""];
  return [
    table(headings, rows),
    "",
    ...groups.map(({ group, verdict }) => `${group}: ${verdict}`),
    `derivatives of the outer loss ${outerLoss.toPrecision(6)} along directions of length 1; step: the largest move of an element of α; rounding: what float32 does to a difference at that step`,
    ...adviceOn(check),
    formatSizes(problem),
    `adapter: ${adapter}`,
  ].join("\n");
}

/** What keeps a check from agreeing although the hypergradient may be right, and what to do about it. */
function adviceOn({ estimator, groups, kinks, verdict }: GradientCheck): string[] {
  if (verdict === "agrees") return [];
  if (kinks.length > 0) {
    return [
      `the losses have kinks (${kinks.join(", ")}), and a difference across a kink is no derivative: ${estimator} may be right all the same. Check with a smooth activation in its place, such as tanh or softplus, and avgPool for maxPool`,
    ];
  }
  const open = groups.flatMap(({ directions }) =>
    directions.filter((found) => found.verdict === "undecided"),
  );
  if (open.length === 0) return [];
  // An error bar holds about four times what rounding does to the difference at its step.
  const isRounding = open.some(({ errorBar, noise }) => 4 * noise > errorBar / 2);
  return [
    isRounding
      ? "undecided: rounding hides more than 1 % of the derivative. Check where the hyperparameters matter more beside the rest of the outer loss: at another point, with a larger constant before their term, or without large constants in the loss"
      : "undecided: the curvature of the loss hides more than 1 % of the derivative. Check at another point, with fewer inner steps or with a smaller learning rate; kinks in the losses do this too: there, with a smooth operation in place of the one that has them",
  ];
}

/** A profile as text. */
export function formatProfile(
  estimator: string,
  { steps, dispatches, dispatchesPerInnerStep, wall, gpu, launches, recording, shares }: Profile,
): string {
  const kernels = shares.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [
    `${estimator}, T = ${steps}: ${dispatches} dispatches, ${dispatchesPerInnerStep.toFixed(1)} an inner step`,
    table(
      ["an outer step", "ms"],
      [
        ["wall", digits(wall)],
        ["  GPU, in one pass", digits(gpu)],
        ["    launches: as many empty dispatches", digits(launches)],
        ["  idle, and the host's part", digits(Math.max(0, wall - gpu))],
        ["recording, while the step before runs", digits(recording)],
      ],
    ),
    table(
      ["kernel", "dispatches", "GPU ms", "of all", "GFLOP/s", "GB/s", "roofline"],
      shares.map((share) => [
        share.kernel,
        `${share.dispatches}`,
        digits(share.milliseconds),
        `${digits((100 * share.milliseconds) / kernels)} %`,
        digits(share.gflops),
        digits(share.gigabytesPerSecond),
        `${digits(share.percent)} %`,
      ]),
    ),
  ].join("\n\n");
}

function formatSizes({ steps, parameters, hyperparameters, lanes }: ProblemSizes): string {
  const several = lanes > 1 ? `, ${lanes} lanes` : "";
  return `T = ${steps}, P = ${parameters}, H = ${hyperparameters}${several}`;
}

function formatCosine(value: number): string {
  return Number.isFinite(value) ? value.toFixed(6) : "–";
}

function formatError(value: number): string {
  return Number.isFinite(value) ? (value === 0 ? "0" : value.toExponential(2)) : "–";
}
