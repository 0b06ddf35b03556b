import { linearGrid } from "../../shaders/operand.ts";
import { type OuterAdam, outerAdam, outerSgd } from "../../shaders/outer_step.ts";
import { Block } from "../gpu/block.ts";
import { bindings, type Dispatch } from "../gpu/dispatch.ts";
import { assertKnown } from "../gpu/known.ts";
import { assertNormal } from "./float32.ts";
import type { Group } from "./group.ts";
import { ProblemError } from "./problem.ts";
import type { Settings } from "./settings.ts";

/** The buffers an outer step works on. */
export interface OuterState {
  readonly hyper: Block;
  readonly gradient: Block;
  readonly progress: Block;
}

/** Moves one group of hyperparameters along its hypergradient. */
export interface OuterOptimizer {
  readonly name: string;
  /** The numbers that it was made with. */
  readonly settings?: Settings;
  /** The kernel for one group. */
  record(state: OuterState, group: Group): Dispatch;
}

/** α ← α - lr h; with decay "sqrt", lr/√τ at outer step τ. @throws ProblemError */
export function gradientDescent(options: { lr: number; decay?: "sqrt" }): OuterOptimizer {
  assertKnown("gradientDescent", options, { lr: true, decay: true });
  const { lr, decay } = options;
  assertNormal("the outer rate", lr);
  if (decay !== undefined && decay !== "sqrt")
    throw new ProblemError(`decay is ${JSON.stringify(decay)}: give "sqrt", or leave it out`);
  return {
    name: "sgd",
    settings: { lr, decay },
    record({ hyper, gradient, progress }, { count, view, lanes }) {
      return {
        label: "outer sgd",
        code: outerSgd(count, view, { lr, decay: decay === "sqrt" }),
        bindings: bindings(
          ["write", { block: hyper }],
          ["read", { block: gradient }],
          ["read", { block: progress }],
        ),
        grid: linearGrid(count, lanes),
        flops: 2 * count,
        bytes: 12 * count * lanes,
      };
    },
  };
}

/** Adam (Kingma & Ba 2015). @throws ProblemError for a decay outside [0, 1), or an ε that is not positive in float32. */
export function adam(options: Pick<OuterAdam, "lr"> & Partial<OuterAdam>): OuterOptimizer {
  assertKnown("adam", options, { lr: true, beta1: true, beta2: true, epsilon: true });
  const { lr, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = options;
  assertNormal("the outer rate", lr);
  for (const [name, decay] of Object.entries({ beta1, beta2 })) {
    if (!(decay >= 0 && decay < 1))
      throw new ProblemError(`Adam's ${name} is ${decay}: give a number in [0, 1)`);
  }
  assertNormal("Adam's epsilon", epsilon);
  return {
    name: "adam",
    settings: { lr, beta1, beta2, epsilon },
    record({ hyper, gradient, progress }, { count, view, lanes }) {
      const moment = (name: string) => new Block(name, "hyperparameters", 4 * count * lanes);
      return {
        label: "outer adam",
        code: outerAdam(count, view, { lr, beta1, beta2, epsilon }),
        bindings: bindings(
          ["write", { block: hyper }],
          ["read", { block: gradient }],
          ["read", { block: progress }],
          ["write", { block: moment("first moment") }],
          ["write", { block: moment("second moment") }],
        ),
        grid: linearGrid(count, lanes),
        flops: 12 * count,
        bytes: 28 * count * lanes,
      };
    },
  };
}
