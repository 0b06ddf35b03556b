import { compare } from "../diagnostics/compare.ts";
import { comparisonSummary, formatComparison } from "../diagnostics/report.ts";
import { estimatorList } from "../estimators/named.ts";
import { Gpu } from "../gpu/gpu.ts";
import { print, progress } from "../host/terminal.ts";
import { scriptProblem } from "./script-problem.ts";

export interface CompareScriptOptions {
  /** For messages. */
  file: string;
  /** As in `estimatorList`. */
  estimators: string;
  repeats: number;
  json: boolean;
}

/** Compares estimators on the problem of a script, in any runtime. @returns 0, or 1 when none gave a result */
export async function compareScript(
  load: () => Promise<object>,
  { file, estimators: list, repeats, json }: CompareScriptOptions,
): Promise<number> {
  const problem = await scriptProblem(load, file);
  const chosen = estimatorList(list, problem.steps);
  const gpu = await Gpu.open();
  const bar = progress({ total: chosen.length, label: "estimator" });
  let done = 0;
  const result = await compare(problem, {
    gpu,
    estimators: chosen,
    repeats,
    onRow: ({ label }) => bar.update(++done, { after: label }),
  });
  bar.stop();
  print(json ? JSON.stringify(comparisonSummary(result)) : formatComparison(result));
  gpu.close();
  return result.estimators.every(({ error }) => error !== undefined) ? 1 : 0;
}
