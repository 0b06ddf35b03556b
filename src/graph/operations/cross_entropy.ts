import {
  correct as correctShader,
  crossEntropyBackward,
  crossEntropy as crossEntropyShader,
  type Logits,
} from "../../../shaders/cross_entropy.ts";
import { linearGrid } from "../../../shaders/operand.ts";
import { ALONE, rowKernel } from "../../../shaders/rows.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { broadcastIndex, formatShape, ShapeError } from "../shape.ts";
import type { KernelRule, Rule, Tensor } from "../tensor.ts";

/**
 * Softmax cross-entropy of each example: logits [n × classes], labels i32 [n] in [0, classes), result [n].
 * Fused, and stable for logits of any size. Data with other labels is refused; where one comes up on the GPU the result
 * and its derivatives are NaN. @throws ShapeError
 */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return apply(forward(dimensions("crossEntropy", logits, labels)), [logits, labels], labels.shape);
}

/** 1 where the largest logit is the label's, else 0: [n]. The mean is the accuracy. Not differentiable. */
export function correct(logits: Tensor, labels: Tensor): Tensor {
  const size = dimensions("correct", logits, labels);
  const rule: Rule = {
    name: "correct",
    integers: 1,
    below: size.classes,
    stepwise: true,
    reads: () => [true, true],
    kernel: ({ inputs: [z, label], out }) => ({
      code: correctShader(size, z!, label!, out),
      grid: linearGrid(size.rows),
      flops: 0,
    }),
  };
  return apply(rule, [logits, labels], labels.shape);
}

function dimensions(operation: string, logits: Tensor, labels: Tensor): Logits {
  assertTensors(operation, logits, labels);
  const [rows, classes] = logits.shape;
  if (
    logits.shape.length !== 2 ||
    labels.dtype !== "i32" ||
    labels.shape.length !== 1 ||
    labels.shape[0] !== rows
  ) {
    throw new ShapeError(
      `${operation} takes logits [n×classes] and i32 labels [n], not ${formatShape(logits.shape)} and ${labels.dtype} ${formatShape(labels.shape)}; labels are values(Int32Array.from(list))`,
    );
  }
  return { rows: rows!, classes: classes! };
}

function forward({ rows, classes }: Logits): Rule {
  return {
    name: "cross-entropy",
    integers: 1,
    below: classes,
    reads: () => [true, true],
    ...byRows(rows, ({ inputs: [z, label], out }, place) => ({
      ...crossEntropyShader(classes, z!, label!, out, place),
      flops: rows * classes * (out.tangent ? 6 : 4),
    })),
    vjp: ([z, label], _output, cotangent) => [
      apply(backward({ rows, classes }), [z!, label!, cotangent], z!.shape),
      undefined,
    ],
  };
}

function backward({ rows, classes }: Logits): Rule {
  return {
    name: "cross-entropy backward",
    integers: 1,
    literals: true,
    reads: ({ primal, active }) => [true, true, primal || active[0]!],
    ...byRows(rows, ({ inputs: [z, label, u], out }, place) => ({
      ...crossEntropyBackward(classes, z!, label!, u!, broadcastIndex([rows], u!.shape), out, place),
      flops: rows * classes * (out.tangent ? 10 : 5),
    })),
  };
}

/** An operation on each row of its first input, which a kernel that holds whole rows may do too. */
function byRows(
  count: number,
  ofRows: NonNullable<KernelRule["ofRows"]>,
): Pick<KernelRule, "kernel" | "ofRows"> {
  return {
    ofRows,
    kernel(call) {
      const { flops, ...operation } = ofRows(call, ALONE);
      return { code: rowKernel(count, operation), grid: linearGrid(count), flops };
    },
  };
}
