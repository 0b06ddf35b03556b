import type { Estimator } from "../bilevel/estimator.ts";
import type { Settings } from "../bilevel/settings.ts";
import { HypergradError } from "../gpu/errors.ts";
import { UsageError } from "../host/errors.ts";
import { cg } from "./cg.ts";
import { checkpointed } from "./checkpointed.ts";
import { drmad } from "./drmad.ts";
import { firstOrder } from "./first_order.ts";
import { fmd, rtho } from "./fmd.ts";
import { greedy } from "./greedy.ts";
import { inexactGd, inexactHb } from "./inexact_ad.ts";
import { krmd, rmd, t1t2 } from "./krmd.ts";
import { neumann } from "./neumann.ts";
import { nystrom } from "./nystrom.ts";
import { reversible } from "./reversible.ts";

/** A number that estimators take; it has the same name, and the same flag, with all of them. */
export interface Parameter {
  /** Of its numbers. */
  readonly metavar?: Uppercase<string>;
  readonly about: string;
  /** What its values are: 1, 2, 3, …; 0 … 1; any number ≥ 0; or none but the words. */
  readonly kind: "count" | "share" | "number" | "word";
  /** Words that stand for no number. */
  readonly words?: readonly string[];
  /** Inner steps: at most T, and a default above T means T. */
  readonly ofSteps?: boolean;
}

const parameterTable = {
  k: {
    metavar: "K",
    about: "go back through the last K inner steps, at most all of them",
    kind: "count",
    ofSteps: true,
  },
  store: {
    about: "store this of a step too: then its product does not compute it again",
    kind: "word",
    words: ["activations"],
  },
  every: {
    metavar: "N",
    about: "store each N-th state and run the steps between anew; without it ⌈√T⌉",
    kind: "count",
    ofSteps: true,
  },
  gamma: {
    metavar: "GAMMA",
    about:
      "the weight of a term falls by this factor from each inner step to the one before, from 0 to 1; auto measures it",
    kind: "share",
    words: ["auto"],
  },
  terms: { metavar: "N", about: "the series has N + 1 terms", kind: "count" },
  iterations: { metavar: "N", about: "iterations of the linear solver, at most", kind: "count" },
  tolerance: { metavar: "TOL", about: "the solver stops at this relative residual", kind: "number" },
  beta: { metavar: "BETA", about: "momentum of the linear solver, from 0 to 1", kind: "share" },
  rank: { metavar: "RANK", about: "columns of the Hessian that its inverse is built from", kind: "count" },
  rho: { metavar: "RHO", about: "added to the diagonal of the Hessian", kind: "number" },
} as const satisfies Record<string, Parameter>;

export type ParameterName = keyof typeof parameterTable;

export const parameters: Readonly<Record<ParameterName, Parameter>> = parameterTable;

export type ParameterValue<P extends ParameterName = ParameterName> = P extends ParameterName
  ? ValueOf<(typeof parameterTable)[P]>
  : never;
type ValueOf<T> = T extends { words: readonly (infer Word)[] }
  ? T extends { kind: "word" }
    ? Word
    : number | Word
  : number;

/** Parameters by name; what is absent has its default. */
export type Given = { readonly [P in ParameterName]?: ParameterValue<P> | undefined };

interface Named {
  /** Its parameters in order, with their defaults; undefined leaves one to the estimator. */
  readonly defaults: Given;
  make(given: Given): Estimator;
}

function entry<D extends Given>(defaults: D, make: (given: D) => Estimator): Named {
  return { defaults, make: (given) => make({ ...defaults, ...given }) };
}

/** Every estimator by the name used everywhere: a new one is a line here, and one above for a new parameter. */
const table = {
  rmd: entry({ store: undefined }, rmd),
  krmd: entry({ k: 5, store: undefined }, krmd),
  checkpointed: entry({ every: undefined }, checkpointed),
  reversible: entry({}, reversible),
  fmd: entry({}, fmd),
  t1t2: entry({}, t1t2),
  greedy: entry({ gamma: 0.9 }, greedy),
  "first-order": entry({}, firstOrder),
  neumann: entry({ terms: 10 }, neumann),
  cg: entry({ iterations: 20, tolerance: 1e-6 }, cg),
  nystrom: entry({ rank: 10, rho: 0.01 }, nystrom),
  "inexact-gd": entry({ iterations: 10 }, inexactGd),
  "inexact-hb": entry({ iterations: 10, beta: 0.9 }, ({ beta, ...given }) =>
    inexactHb({ ...given, momentum: beta }),
  ),
  drmad: entry({}, drmad),
  rtho: entry({}, rtho),
} satisfies Record<string, Named>;

export type EstimatorName = keyof typeof table;

export const estimatorNames = Object.keys(table) as readonly EstimatorName[];

/** The parameters of an estimator in order, with their defaults. */
export function parametersOf(name: EstimatorName): [ParameterName, ParameterValue | undefined][] {
  return Object.entries(table[name].defaults) as [ParameterName, ParameterValue | undefined][];
}

/** An estimator, and its name with its parameters: "krmd(5)". */
export interface Chosen {
  readonly estimator: Estimator;
  readonly label: string;
}

/**
 * The estimator of that name.
 * @param steps T, when it is known: a default number of inner steps is then at most T
 * @throws ProblemError for a value that the estimator refuses
 */
export function estimatorNamed(
  name: EstimatorName,
  given: Given = {},
  steps = Number.POSITIVE_INFINITY,
): Chosen {
  const settled = parametersOf(name).map(([parameter, normal]) => {
    const isLong = parameters[parameter].ofSteps && typeof normal === "number" && normal > steps;
    return [parameter, given[parameter] ?? (isLong ? steps : normal)] as const;
  });
  const estimator = table[name].make(Object.fromEntries(settled));
  return { estimator, label: labelOf(estimator) };
}

/**
 * An estimator's name and its parameters, and by name what else is off its default, as in "krmd(5)" and
 * "neumann(5, step 1)"; one of the user's own shows all its settings.
 */
export function labelOf({ name, settings = {} }: Estimator): string {
  const shown = isName(name) ? shownOf(name, settings) : Object.values(settings);
  const values = shown.flatMap((value) => (value === undefined ? [] : [textOf(value)]));
  return values.length > 0 ? `${name}(${values.join(", ")})` : name;
}

function shownOf(name: EstimatorName, settings: Settings): Settings[string][] {
  const all: Settings = { ...settings, beta: settings.momentum };
  const given = parametersOf(name).map(([parameter]) => [parameter, all[parameter]] as const);
  const single = given.filter(
    ([parameter, value]) => typeof value === "number" || parameters[parameter].words?.includes(String(value)),
  );
  // What the parameters alone would make.
  const { settings: plain = {} } = table[name].make(Object.fromEntries(single));
  const changed = Object.entries(settings).flatMap(([setting, value]) => {
    const isShown = Object.hasOwn(table[name].defaults, setting);
    if (isShown || value === undefined || value === plain[setting]) return [];
    return [value === true ? setting : `${setting} ${textOf(value)}`];
  });
  return [...given.map(([, value]) => value), ...changed];
}

const textOf = (value: number | string | boolean) =>
  typeof value === "number" ? shortest(value) : String(value);

/** "0.9", "1e-6" */
export function shortest(value: ParameterValue): string {
  if (typeof value === "string") return value;
  const [plain, exponential] = [String(value), value.toExponential()];
  return exponential.length < plain.length ? exponential : plain;
}

/**
 * The estimators of a list such as "rmd,krmd:5,nystrom:10:0.01": names, each with values for its parameters in order.
 * @param steps T, when it is known
 * @throws UsageError that names the choices
 */
export function estimatorList(list: string, steps?: number): Chosen[] {
  const items = list
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
  if (items.length === 0) throw new UsageError(`no estimator is named: ${choices()}`);
  return items.map((item) => estimatorItem(item, steps));
}

function estimatorItem(item: string, steps: number | undefined): Chosen {
  const [name = "", ...texts] = item.split(":");
  if (!isName(name)) throw new UsageError(`there is no estimator "${name}": ${choices()}`);
  const defaults = parametersOf(name);
  if (texts.length > defaults.length) {
    const takes = defaults.length === 0 ? "no parameter" : `no more than ${usage(name)}`;
    throw new UsageError(`"${item}" says too much: ${name} takes ${takes}`);
  }
  const given = texts.map((text, index) => {
    const [parameter] = defaults[index]!;
    return [parameter, valueIn(item, name, parameter, text)] as const;
  });
  for (const [parameter, value] of given) {
    if (!parameters[parameter].ofSteps || steps === undefined || !(Number(value) > steps)) continue;
    throw new UsageError(`"${item}" asks for ${value} inner steps of ${steps}: give at most ${steps}`);
  }
  try {
    return estimatorNamed(name, Object.fromEntries(given), steps);
  } catch (error) {
    if (error instanceof HypergradError) throw new UsageError(`"${item}": ${error.message}`);
    throw error;
  }
}

function valueIn(item: string, name: EstimatorName, parameter: ParameterName, text: string): number | string {
  if (parameters[parameter].words?.includes(text)) return text;
  const value = Number(text);
  if (parameters[parameter].kind === "word" || text.trim() === "" || Number.isNaN(value)) {
    const what = parameters[parameter].kind === "word" ? `no ${parameter}` : "no number";
    throw new UsageError(`"${item}": "${text}" is ${what}; write ${usage(name)}`);
  }
  return value;
}

function isName(name: string): name is EstimatorName {
  return Object.hasOwn(table, name);
}

/** "krmd:K[:activations]", "greedy:GAMMA|auto": in brackets what is no number, as an estimator may do without it. */
function usage(name: EstimatorName): string {
  const values = parametersOf(name).map(([parameter]) => {
    const { metavar, words = [] } = parameters[parameter];
    return metavar ? `:${[metavar, ...words].join("|")}` : `[:${words.join("|")}]`;
  });
  return [name, ...values].join("");
}

function choices(): string {
  return `choose from ${estimatorNames.map(usage).join(", ")}; a parameter left out has its default`;
}
