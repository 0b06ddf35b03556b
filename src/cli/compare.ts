import { optimize } from "../bilevel/optimize.ts";
import { adam } from "../bilevel/outer_optimizer.ts";
import type { Problem } from "../bilevel/problem.ts";
import { Comparison, type ComparisonResult, compare } from "../diagnostics/compare.ts";
import { comparisonSummary, formatComparison } from "../diagnostics/report.ts";
import { checkpointed } from "../estimators/checkpointed.ts";
import { type Chosen, estimatorList } from "../estimators/named.ts";
import { Gpu } from "../gpu/gpu.ts";
import { print, progress } from "../host/terminal.ts";
import { scriptProblem } from "./script-problem.ts";

/** An optimisation by Adam along the exact hypergradient, and the steps of it after which to compare. */
interface Along {
  every: number;
  until: number;
  rate: number;
}

export interface CompareScriptOptions {
  /** For messages. */
  file: string;
  /** As in `estimatorList`. */
  estimators: string;
  repeats: number;
  along?: Along;
  json: boolean;
}

/** Compares estimators on the problem of a script, in any runtime. @returns 0, or 1 when none gave a result */
export async function compareScript(
  load: () => Promise<object>,
  { file, estimators: list, repeats, along, json }: CompareScriptOptions,
): Promise<number> {
  const problem = await scriptProblem(load, file);
  const chosen = estimatorList(list, problem.steps);
  const gpu = await Gpu.open();
  const results = along
    ? await compareAlong(problem, gpu, chosen, along)
    : [{ outerStep: 0, ...(await compareOnce(problem, gpu, chosen, repeats)) }];
  const [first] = results.map(({ outerStep: _, ...result }) => result);
  if (!json) print(results.map(({ outerStep, ...result }) => titled(outerStep, result, along)).join("\n\n"));
  else if (along === undefined) print(JSON.stringify(comparisonSummary(first!)));
  else
    print(
      JSON.stringify({
        points: results.map(({ outerStep, ...result }) => ({ outerStep, ...comparisonSummary(result) })),
      }),
    );
  gpu.close();
  return first!.estimators.every(({ error }) => error !== undefined) ? 1 : 0;
}

function titled(outerStep: number, result: ComparisonResult<string>, along: Along | undefined): string {
  const text = formatComparison(result);
  return along === undefined ? text : `after ${outerStep} outer steps\n${text}`;
}

async function compareOnce(problem: Problem, gpu: Gpu, estimators: readonly Chosen[], repeats: number) {
  const bar = progress({ total: estimators.length, label: "estimator" });
  let done = 0;
  const result = await compare(problem, {
    ...{ gpu, estimators, repeats },
    onRow: ({ label }) => bar.update(++done, { after: label }),
  });
  bar.stop();
  return result;
}

/** At the problem's own α, then after every few outer steps. */
async function compareAlong(
  problem: Problem,
  gpu: Gpu,
  estimators: readonly Chosen[],
  { every, until, rate }: Along,
): Promise<(ComparisonResult<string> & { outerStep: number })[]> {
  const comparison = await Comparison.prepare(problem, { gpu, estimators });
  const results = [{ outerStep: 0, ...(await comparison.at()) }];
  const bar = progress({ total: until, label: "outer step" });
  const steps = optimize(problem, {
    ...{ gpu, estimator: checkpointed(), optimizer: adam({ lr: rate }) },
    ...{ steps: until, every: Math.min(every, until) },
  });
  for await (const { index, outerLoss, hyper } of steps) {
    bar.update(index, { "validation loss": outerLoss.toFixed(4) });
    if (index % every === 0)
      results.push({ outerStep: index, ...(await comparison.at({ hyper: await hyper() })) });
  }
  bar.stop();
  comparison.destroy();
  return results;
}
