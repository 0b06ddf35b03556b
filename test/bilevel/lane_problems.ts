import type { InnerOptimizer } from "../../src/bilevel/inner_optimizer.ts";
import { type BilevelSpec, bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { partsOf, perLane, type Values, values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import type { Kind } from "./problems.ts";

type Spec = BilevelSpec<string, string, string, string>;
type Named = Readonly<Record<string, Values>>;

export interface LaneSetting {
  readonly steps?: number;
  readonly optimizer?: InnerOptimizer<string>;
  /** η and μ belong to α, each lane's from a value of its own. */
  readonly learnRates?: boolean;
  /** w_0 belongs to α. */
  readonly learnStart?: boolean;
  readonly constraints?: Spec["constraints"];
}

/** What differs from lane to lane: w_0, α, and the floats of the data. */
export type Differs = Readonly<Record<"parameters" | "hyper" | "data", boolean>>;

export const everything: Differs = { parameters: true, hyper: true, data: true };

/** Several problems of a kind, one by one and side by side. */
export function laneProblems(
  kind: Kind,
  count: number,
  setting: LaneSetting = {},
  differs: Differs = everything,
): { single: Problem[]; together: Problem } {
  const specs = Array.from({ length: count }, (_, lane) => specOf(kind, lane, setting, differs));
  const [first] = specs;
  const stack = (take: (spec: Spec) => Named, differ: boolean): Named =>
    differ ? stacked(specs.map(take)) : take(first!);
  const together = bilevel({
    ...first!,
    parameters: stack((spec) => spec.parameters, differs.parameters),
    hyper: stack((spec) => spec.hyper, differs.hyper),
    inner: { ...first!.inner, data: stack((spec) => dataOf(spec.inner), differs.data) },
    outer: { ...first!.outer, data: stack((spec) => dataOf(spec.outer), differs.data) },
    lanes: count,
  });
  return { single: specs.map((spec) => bilevel(spec)), together };
}

/** The kinds have no pixels. */
const dataOf = (level: Spec["inner" | "outer"]) => level.data as Named;

/** Values [lanes × …] of what each lane has. */
export function stacked(lanes: readonly Named[]): Record<string, Values> {
  return Object.fromEntries(
    Object.keys(lanes[0]!).map((name) => {
      const parts = lanes.map((lane) => lane[name]!);
      const all = parts.flatMap(({ data }) => [...data]);
      const integers = parts[0]!.data instanceof Int32Array;
      const data = integers ? Int32Array.from(all) : Float32Array.from(all);
      return [name, perLane(values(data, [lanes.length, ...parts[0]!.shape]))];
    }),
  );
}

/** What lane `index` has of values [lanes × …]. */
export function lane(record: Named, index: number): Record<string, Values> {
  return Object.fromEntries(
    Object.entries(record).map(([name, given]) => [name, partsOf({ ...given, perLane: true })[index]!]),
  );
}

function specOf(kind: Kind, index: number, setting: LaneSetting, differs: Differs): Spec {
  const { steps = 5, learnRates = false, learnStart = false, constraints } = setting;
  const random = new Random(40).fork(index);
  const vary = (given: Named = {}, differ = true, spread = 0.2): Named =>
    Object.fromEntries(
      Object.entries(given).map(([name, { data, shape }]) => [
        name,
        data instanceof Int32Array || !differ
          ? values(data, shape)
          : values(
              data.map((x) => x + spread * random.normal()),
              shape,
            ),
      ]),
    );
  const { parameters, hyper, inner, outer } = kind.losses();
  const started = vary(parameters, differs.parameters);
  const rates = { eta: values([0.2]), mu: values([0.5]) };
  const start = values(Object.values(started).flatMap(({ data }) => [...data]));
  return {
    parameters: started,
    hyper: {
      ...vary(hyper, differs.hyper),
      ...(learnRates && vary(rates, differs.hyper, 0.02)),
      ...(learnStart && vary({ start }, differs.hyper)),
    },
    ...(learnStart && { start: "start" }),
    constraints,
    inner: {
      ...inner,
      data: vary(dataOf(inner), differs.data, 0.1),
      steps,
      optimizer:
        setting.optimizer ??
        (learnRates ? sgd<string>({ lr: "eta", momentum: "mu" }) : sgd<string>({ lr: 0.2, momentum: 0.5 })),
    },
    outer: { ...outer, data: vary(dataOf(outer), differs.data, 0.1) },
  };
}
