import type { Gpu } from "../../src/gpu/gpu.ts";
import { differentiate, type Point } from "../../src/graph/differentiate.ts";
import type { Case } from "./cases/case.ts";
import { blank, graphLoss, pick } from "./programs.ts";
import type { Vector } from "./reference.ts";
import type { Sample } from "./sample.ts";

/** The four programs of a case, between vectors in float64. */
export interface Compiled {
  set(point: Vector): void;
  value(): Promise<Float32Array>;
  gradient(): Promise<Vector>;
  jvp(tangent: Vector): Promise<Float32Array>;
  hvp(tangent: Vector): Promise<Vector>;
  destroy(): void;
}

export async function compile(gpu: Gpu, kase: Case, { lanes, point, data }: Sample): Promise<Compiled> {
  const f = await differentiate(gpu, {
    parameters: blank(kase.parameters),
    hyper: blank(kase.hyper),
    data,
    lanes,
    loss: graphLoss(kase),
  });
  const split = (vector: Vector) => ({
    parameters: pick(vector, kase.parameters, lanes),
    hyper: pick(vector, kase.hyper, lanes),
  });
  f.set(split(point));
  return {
    set: (at) => f.set(split(at)),
    value: () => f.value(),
    gradient: async () => join(await f.gradient()),
    jvp: (tangent) => f.jvp(split(tangent)),
    hvp: async (tangent) => join(await f.hvp(split(tangent))),
    destroy: () => f.destroy(),
  };
}

function join({ parameters, hyper }: Point<string, string>): Vector {
  const entries = Object.entries({ ...parameters, ...hyper });
  return Object.fromEntries(entries.map(([name, { data }]) => [name, Float64Array.from(data)]));
}
