import { constantValue, type Mode, parents, type Rule, type Tensor, topological } from "./tensor.ts";

/** What a program is asked for. */
export interface Request {
  /** Tensors whose values are wanted. */
  readonly primal: readonly Tensor[];
  /** Tensors whose tangents are wanted. */
  readonly tangent: readonly Tensor[];
  /** Leaves that carry a tangent. */
  readonly seeds: ReadonlySet<Tensor>;
  /** Tensors whose values are in memory already. */
  readonly available: ReadonlySet<Tensor>;
}

/** One kernel to run: a rule applied to inputs in some mode, or an assembly and the parts of it that are needed. */
export interface Step {
  readonly tensor: Tensor;
  readonly mode: Mode;
  readonly reads: readonly boolean[];
}

export interface Schedule {
  readonly steps: readonly Step[];
  /** Tensors that carry a tangent; all others have the tangent zero. */
  readonly active: ReadonlySet<Tensor>;
  /** Available tensors that the steps do read. */
  readonly borrowed: ReadonlySet<Tensor>;
}

interface Need {
  primal: boolean;
  tangent: boolean;
}

/**
 * Activity analysis and dead-code elimination: the kernels that matter to a request, in order, each in the least
 * mode that serves. A tensor that no seed reaches has no tangent; a value that only feeds dropped kernels goes too.
 */
export function schedule({ primal, tangent, seeds, available }: Request): Schedule {
  const order = topological([...primal, ...tangent]);
  const active = reached(order, seeds, ({ source }) => !(source.kind === "rule" && source.rule.stepwise));
  const needs = new Map<Tensor, Need>();
  const borrowed = new Set<Tensor>();
  const need = (tensor: Tensor, part: keyof Need) => {
    if (part === "tangent" && !active.has(tensor)) return;
    const known = needs.get(tensor) ?? { primal: false, tangent: false };
    known[part] = true;
    needs.set(tensor, known);
  };
  for (const tensor of primal) need(tensor, "primal");
  for (const tensor of tangent) need(tensor, "tangent");

  const steps: Step[] = [];
  for (const tensor of order.toReversed()) {
    const wanted = needs.get(tensor);
    if (wanted === undefined) continue;
    const { source } = tensor;
    const inputs = parents(tensor);
    if (source.kind === "view") {
      if (wanted.primal) need(source.base, "primal");
      if (wanted.tangent) need(source.base, "tangent");
      continue;
    }
    if (source.kind === "leaf" || source.kind === "constant") continue;
    const borrow = wanted.primal && available.has(tensor);
    if (borrow) borrowed.add(tensor);
    const mode: Mode = {
      primal: wanted.primal && !borrow,
      tangent: wanted.tangent,
      active: inputs.map((input) => active.has(input)),
    };
    if (!mode.primal && !mode.tangent) continue;
    const reads = source.kind === "rule" ? readsOf(source.rule, mode, inputs) : inputs.map(() => mode.primal);
    inputs.forEach((input, k) => {
      if (reads[k]) need(input, "primal");
      if (mode.tangent) need(input, "tangent");
    });
    steps.push({ tensor, mode, reads });
  }
  return { steps: steps.reverse(), active, borrowed };
}

/** The seeds and what is computed from them, through tensors that pass it on. */
function reached(
  order: readonly Tensor[],
  seeds: ReadonlySet<Tensor>,
  passes: (tensor: Tensor) => boolean = () => true,
): Set<Tensor> {
  const found = new Set<Tensor>();
  for (const tensor of order) {
    if (seeds.has(tensor) || (passes(tensor) && parents(tensor).some((parent) => found.has(parent)))) {
      found.add(tensor);
    }
  }
  return found;
}

/** A literal is never read from memory. */
export function readsOf(rule: Rule, mode: Mode, inputs: readonly Tensor[]): boolean[] {
  const reads = rule.reads(mode);
  return inputs.map((input, k) => Boolean(reads[k]) && constantValue(input) === undefined);
}

/**
 * Of the values that steps compute: those that do not depend on the `varying` leaves, yet feed a kernel that
 * does. Computed once, they serve every inner step.
 */
export function invariants({ steps }: Schedule, varying: ReadonlySet<Tensor>): Tensor[] {
  const roots = steps.map((step) => step.tensor);
  const dependent = reached(topological(roots), varying);
  const computed = new Set(steps.filter((step) => step.mode.primal).map((step) => step.tensor));
  const found = new Set<Tensor>();
  for (const { tensor, reads } of steps) {
    if (!dependent.has(tensor)) continue;
    parents(tensor).forEach((parent, k) => {
      const value = parent.source.kind === "view" ? parent.source.base : parent;
      if (reads[k] && computed.has(value) && !dependent.has(value)) found.add(value);
    });
  }
  return [...found];
}
