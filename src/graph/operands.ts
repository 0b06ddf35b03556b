import { kindOf } from "../gpu/kind.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { formatShape, ShapeError } from "./shape.ts";
import { constant, isTensor, type Tensor } from "./tensor.ts";

/** A tensor or a number, which stands for a constant of any shape. */
export type Like = Tensor | number;

/** An operand that is undefined: most often a name that the loss does not receive. */
export class UndefinedOperand extends ProblemError {}

/**
 * The types say it too, but not to JavaScript, nor where names are indexed.
 * @throws ProblemError unless all operands are graph tensors, saying which one is not, and what to do
 */
export function assertTensors(operation: string, ...operands: readonly unknown[]): void {
  for (const [index, operand] of operands.entries()) {
    if (isTensor(operand)) continue;
    const which =
      operands.length > 1 ? `operand ${index + 1} of ${operation}` : `the operand of ${operation}`;
    const what = `${which} is ${kindOf(operand)}`;
    if (operand === undefined) throw new UndefinedOperand(`${what}: is its name spelled right?`);
    throw new ProblemError(`${what}: ${insteadOf(operand)}`);
  }
}

/** The operands as tensors, numbers as constants. @throws ProblemError for what is neither */
export function tensorsOf(operation: string, ...operands: readonly Like[]): Tensor[] {
  const tensors = operands.map((operand) => (typeof operand === "number" ? constant(operand) : operand));
  assertTensors(operation, ...tensors);
  return tensors;
}

/** @throws ProblemError for a loss that is no function */
export function assertLoss(called: string, loss: unknown): void {
  if (typeof loss === "function") return;
  throw new ProblemError(
    `${called} is ${kindOf(loss)}: give a function of (w, α, data) that returns a scalar`,
  );
}

/** @throws ProblemError for a loss that gave no graph tensor, ShapeError for one that is no scalar */
export function assertResult(loss: string, given: unknown): void {
  if (isTensor(given)) {
    if (given.size === 1) return;
    throw new ShapeError(`${loss} is ${formatShape(given.shape)}, no scalar: take its sum or mean`);
  }
  const what = `${loss} gave ${kindOf(given)}`;
  if (given === undefined)
    throw new ProblemError(`${what}: return a scalar; a body in braces needs the word return`);
  throw new ProblemError(`${what}: ${insteadOf(given)}`);
}

/** What to do where a graph tensor was wanted. */
function insteadOf(given: unknown): string {
  if (typeof given === "number" || typeof given === "string")
    return "give a graph tensor; tensors are combined by add, sub, mul and div, not by + - * and /";
  if (typeof given === "function") return "call it, and give its result";
  if (typeof given !== "object" || given === null) return "give a graph tensor";
  if ("then" in given) return "a loss must not be async; load what it needs before, and state it as data";
  if ("data" in given || ArrayBuffer.isView(given) || Array.isArray(given))
    return "state it as data or as a group of hyper, and use the tensor that the loss receives by that name";
  return "take a tensor of it by its name";
}
