import type { CarriedWords } from "../gpu/carried.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import type { Layout } from "../graph/layout.ts";
import { formatShape } from "../graph/shape.ts";
import { statement } from "../graph/statement.ts";
import { type Tensor, topological } from "../graph/tensor.ts";
import type { Values } from "../graph/values.ts";
import type { Estimator } from "./estimator.ts";
import type { OuterOptimizer } from "./outer_optimizer.ts";
import type { Problem, TracedLevel } from "./problem.ts";
import { describe } from "./settings.ts";

/** What a run is made of, in words and numbers. Runs whose fingerprints differ are different runs. */
export type Fingerprint = Readonly<Record<string, string>>;

/** All that the outer steps so far leave to the next ones: with it, another process goes on to the same bits. */
export interface Checkpoint {
  /** Outer steps done. */
  readonly step: number;
  /** How often new mini-batches were drawn. */
  readonly reshuffles: number;
  /** Of which run it is. */
  readonly of: Fingerprint;
  /** Memory of the GPU, by name. */
  readonly state: CarriedWords;
}

/** @throws ProblemError saying in what they differ */
export function assertSameRun(theirs: Fingerprint, ours: Fingerprint): void {
  const names = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])];
  const differences = names
    .filter((name) => theirs[name] !== ours[name])
    .map((name) => `${name}: there ${theirs[name] ?? "none"}, here ${ours[name] ?? "none"}`);
  if (differences.length === 0) return;
  throw new ProblemError(
    `the checkpoint is of another run: ${differences.join("; ")}. Take the checkpoint of this run, or start without one`,
  );
}

/** The fingerprint of a problem, an estimator and the outer optimizers of its groups. */
export async function fingerprint<H extends string>(
  problem: Problem<string, H>,
  estimator: Estimator,
  optimizers: readonly (readonly [H, OuterOptimizer])[],
): Promise<Fingerprint> {
  const { leaves, inner, outer, steps, lanes, owners, optimizer, start } = problem;
  const { name, lr, momentum, weightDecay, settings } = optimizer;
  const constraints = Object.entries<Problem["constraints"][string]>(problem.constraints);
  return {
    parameters: shapes(leaves.parameterLayout),
    hyperparameters: shapes(leaves.hyperLayout),
    lanes: owners > 1 ? `${lanes}, each with its own hyperparameters` : `${lanes}`,
    "inner steps": `${steps}`,
    "inner optimizer": describe(name, { lr, momentum, weightDecay, ...settings }),
    ...(start !== undefined && { "learned start": start }),
    estimator: describe(estimator.name, estimator.settings),
    ...Object.fromEntries(
      optimizers.map(([group, { name, settings }]) => [
        `outer optimizer of ${group}`,
        describe(name, settings),
      ]),
    ),
    ...Object.fromEntries(
      constraints.flatMap(([group, stated]) =>
        stated ? [[`constraint of ${group}`, describe(stated.name, stated.settings)]] : [],
      ),
    ),
    w_0: await digest(Object.values<Values>(problem.parameters).map(({ data }) => data)),
    α_0: await digest(Object.values<Values>(problem.hyper).map(({ data }) => data)),
    ...(await level("inner", inner)),
    ...(await level("outer", outer)),
  };
}

async function level(which: string, { traced, data, batches }: TracedLevel): Promise<Fingerprint> {
  const stated = await digest([new TextEncoder().encode(statement(traced.value))]);
  const entries: [string, string][] = [[`${which} loss`, `${operations(traced.value)} (${stated})`]];
  for (const [tensor, { block }] of data) {
    const name = tensor.source.kind === "leaf" ? tensor.source.name : "";
    entries.push([`${which} data ${name}`, await digest([block.initial!])]);
  }
  if (batches) entries.push([`${which} mini-batches`, await digest([batches.table.block.initial!])]);
  return Object.fromEntries(entries);
}

function shapes(layout: Layout): string {
  return layout.names.map((name) => `${name} ${formatShape(layout.shape(name))}`).join(", ");
}

/** The operations that a tensor is computed by, and how often each stands there. */
function operations(value: Tensor): string {
  const counts = new Map<string, number>();
  for (const { source } of topological([value])) {
    if (source.kind === "rule") counts.set(source.rule.name, (counts.get(source.rule.name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => (count === 1 ? name : `${count} ${name}`)).join(" + ");
}

/** The first 16 digits of SHA-256. */
async function digest(parts: readonly ArrayBufferView[]): Promise<string> {
  const all = await new Blob(parts as ArrayBufferView<ArrayBuffer>[]).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  return [...hash.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
