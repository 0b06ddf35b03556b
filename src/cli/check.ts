import { checkGradient } from "../diagnostics/check_gradient.ts";
import { formatCheck } from "../diagnostics/report.ts";
import { Gpu } from "../gpu/gpu.ts";
import { print, progress } from "../host/terminal.ts";
import { scriptProblem } from "./script-problem.ts";

export interface CheckScriptOptions {
  /** For messages. */
  file: string;
  json: boolean;
}

/** Checks the hypergradient of a script's problem, in any runtime. @returns 1 when a group disagrees, else 0 */
export async function checkScript(
  load: () => Promise<object>,
  { file, json }: CheckScriptOptions,
): Promise<number> {
  const problem = await scriptProblem(load, file);
  const gpu = await Gpu.open();
  const bar = progress({ total: problem.leaves.hyperLayout.names.length, label: "group" });
  let done = 0;
  const result = await checkGradient(problem, {
    gpu,
    onGroup: ({ group, verdict }) => bar.update(++done, { [group]: verdict }),
  });
  bar.stop();
  print(json ? JSON.stringify(result) : formatCheck(result));
  gpu.close();
  return result.verdict === "disagrees" ? 1 : 0;
}
