import type { Broadcast, Chain } from "../../shaders/chain.ts";
import { pointwise } from "../../shaders/pointwise.ts";
import { readsOf, type Schedule, type Step } from "./schedule.ts";
import { broadcastIndex, broadcastRun, sameShape, size } from "./shape.ts";
import {
  baseOf,
  isPointwise,
  isSum,
  type KernelCall,
  type KernelCode,
  type Operand,
  type PointwiseRule,
  parents,
  type Rule,
  type SumRule,
  type Tensor,
} from "./tensor.ts";

/** What a kernel reads of a tensor. */
export interface Reading {
  readonly tensor: Tensor;
  readonly primal: boolean;
  readonly tangent: boolean;
}

/** What a kernel computes of a tensor, by a pointwise rule. */
export interface Computing extends Reading {
  readonly rule: PointwiseRule;
  /** Tensors that are read or computed before. */
  readonly factors: readonly Tensor[];
}

/** Pointwise steps in one kernel: what it reads, and what it computes in this order; the last is the result. */
export interface Fused {
  readonly readings: readonly Reading[];
  readonly computings: readonly Computing[];
}

/** The storage buffers that WebGPU promises a kernel. */
export const MOST_BUFFERS = 8;

/**
 * Pointwise steps that only feed sums and pointwise steps of their shape are computed where they are read, and never
 * written, as long as that moves no more than a kernel of their own would.
 */
export class Fusion {
  readonly #schedule: Schedule;
  readonly #inlined = new Set<Tensor>();
  readonly #readings = new Map<Step, readonly Reading[]>();

  /** @param kept tensors that must be written */
  constructor(schedule: Schedule, kept: ReadonlySet<Tensor>) {
    this.#schedule = schedule;
    const { steps, borrowed } = schedule;
    const users = new Map<Tensor, { step: Step; read: Tensor }[]>();
    for (const step of steps) {
      for (const read of new Set(parents(step.tensor)))
        users.set(baseOf(read), [...(users.get(baseOf(read)) ?? []), { step, read }]);
    }
    for (const step of steps) {
      const { tensor } = step;
      const rule = ruleOf(tensor);
      if (rule === undefined || borrowed.has(tensor) || kept.has(tensor)) continue;
      const by = users.get(tensor) ?? [];
      // What calls functions is too much to be computed twice.
      if (rule.formula.functions !== undefined && by.length > 1) continue;
      const fits = by.every(
        ({ step, read }) =>
          read === tensor &&
          (isSumOf(step.tensor) || (ruleOf(step.tensor) && sameShape(step.tensor.shape, tensor.shape))),
      );
      const reads = buffers(this.of(step).readings);
      if (by.length === 0 || !fits || by.length * reads > reads + 1 + by.length) continue;
      this.#inlined.add(tensor);
      const tooMany = by.some(
        ({ step }) => buffers(this.of(step).readings) + buffers([step.mode]) > MOST_BUFFERS,
      );
      if (tooMany) this.#inlined.delete(tensor);
    }
  }

  /** Is a step's tensor computed where it is read? */
  has(tensor: Tensor): boolean {
    return this.#inlined.has(tensor);
  }

  /** What the kernel of a step reads, in the order of its bindings. */
  readings(step: Step): readonly Reading[] {
    const known = this.#readings.get(step) ?? this.#readingsOf(step);
    this.#readings.set(step, known);
    return known;
  }

  #readingsOf(step: Step): readonly Reading[] {
    const { tensor, mode, reads } = step;
    if (tensor.source.kind === "rule" && isFused(tensor.source.rule)) return this.of(step).readings;
    return parents(tensor).map((parent, k) => ({
      tensor: parent,
      primal: reads[k]!,
      tangent: mode.tangent && mode.active[k]!,
    }));
  }

  /** The kernel of a pointwise step; or of a sum, then without the sum itself. */
  of(step: Step): Fused {
    const { steps } = this.#schedule;
    const needs = new Map<Tensor, { primal: boolean; tangent: boolean }>();
    const root = rootOf(step);
    const isComputed = (tensor: Tensor) =>
      this.#inlined.has(tensor) || (tensor === step.tensor && tensor === root);
    const visit = (tensor: Tensor, part: "primal" | "tangent") => {
      const need = needs.get(tensor) ?? { primal: false, tangent: false };
      if (need[part]) return;
      need[part] = true;
      needs.set(tensor, need);
      if (!isComputed(tensor)) return;
      const inputs = parents(tensor);
      const active = inputs.map((input) => this.#schedule.active.has(input));
      const mode = { primal: part === "primal", tangent: part === "tangent", active };
      const reads = readsOf(ruleOf(tensor)!, mode, inputs);
      inputs.forEach((input, k) => {
        // Also those of which nothing is read, as formulas count their factors.
        if (!needs.has(input)) needs.set(input, { primal: false, tangent: false });
        if (reads[k]) visit(input, "primal");
        if (part === "tangent" && active[k]) visit(input, "tangent");
      });
    };
    if (root === step.tensor ? step.mode.primal : step.reads[0]) visit(root, "primal");
    if (step.mode.tangent) visit(root, "tangent");
    const isWanted = (tensor: Tensor) => {
      const need = needs.get(tensor);
      return isComputed(tensor) && need !== undefined && (need.primal || need.tangent);
    };
    const readings = [...needs].filter(([tensor]) => !isWanted(tensor));
    const computed = steps.filter(({ tensor }) => isWanted(tensor));
    return {
      readings: readings.map(([tensor, need]) => ({ tensor, ...need })),
      computings: computed.map(({ tensor }) => ({
        tensor,
        ...needs.get(tensor)!,
        rule: ruleOf(tensor)!,
        factors: parents(tensor),
      })),
    };
  }

  /** That kernel, the operands of its readings given as inputs. */
  kernel(
    step: Step,
    rule: PointwiseRule | SumRule,
    { inputs, ...call }: KernelCall,
  ): KernelCode & { name: string } {
    const { chain, names, flops } = this.chain(step, inputs);
    const count = size(rootOf(step).shape);
    const kernel = isSum(rule)
      ? rule.sums({ ...call, chain })
      : { ...pointwise(count, chain, call.out), flops: 0 };
    return {
      ...kernel,
      name: [...names, ...(isSum(rule) ? [rule.name] : [])].join(", "),
      flops: kernel.flops + flops,
    };
  }

  /** What it does to each element, the operations by name, and floating-point operations for all elements. */
  chain(
    step: Step,
    inputs: readonly HeldOperand[],
  ): { readonly chain: Chain; readonly names: readonly string[]; readonly flops: number } {
    const { readings, computings } = this.of(step);
    const { shape } = rootOf(step);
    const order = [...readings, ...computings].map(({ tensor }) => tensor);
    const chain: Chain = {
      leaves: inputs.map((input) => ({
        ...input,
        index: (i) => broadcastIndex(shape, input.shape, i),
        run: broadcastRun(shape, input.shape),
      })),
      operations: computings.map(({ rule: { formula }, factors, primal, tangent }) => ({
        ...{ formula, primal, tangent },
        factors: factors.map((factor) => order.indexOf(factor)),
      })),
    };
    const each = chain.operations.map(
      ({ formula, primal, tangent }) => formula.flops * (Number(primal) + 2 * Number(tangent)),
    );
    return {
      chain,
      names: computings.map(({ rule: { name } }) => name),
      flops: size(shape) * each.reduce((sum, flops) => sum + flops, 0),
    };
  }
}

/** An operand, and WGSL of the halves that the kernel has at hand. */
export type HeldOperand = Operand & Pick<Broadcast, "held">;

/** The tensor whose elements a step's chain computes. */
const rootOf = ({ tensor }: Step): Tensor => (isSumOf(tensor) ? parents(tensor)[0]! : tensor);

/** May its kernel take in pointwise steps? */
export const isFused = (rule: Rule): rule is PointwiseRule | SumRule => isPointwise(rule) || isSum(rule);

function ruleOf({ source }: Tensor): PointwiseRule | undefined {
  return source.kind === "rule" && isPointwise(source.rule) ? source.rule : undefined;
}

const isSumOf = ({ source }: Tensor): boolean => source.kind === "rule" && isSum(source.rule);

/** Buffers that halves of tensors stand in. */
export const buffers = (halves: readonly { readonly primal: boolean; readonly tangent: boolean }[]): number =>
  halves.reduce((count, { primal, tangent }) => count + Number(primal) + Number(tangent), 0);
