import { gather as gatherShader, type Rows, scatter as scatterShader } from "../../../shaders/gather.ts";
import { linearGrid } from "../../../shaders/operand.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { formatShape, ShapeError, size } from "../shape.ts";
import type { DType, Rule, Tensor } from "../tensor.ts";

/**
 * Rows of `x` by index: y[r, …] = x[index[r], …]. `index` holds integers in [0, rows of x): data with others is refused,
 * and where one comes up on the GPU the row is NaN, or -1 of integers. @throws ShapeError
 */
export function gather(x: Tensor, index: Tensor): Tensor {
  assertTensors("gather", x, index);
  const [rows] = x.shape;
  if (rows === undefined || index.dtype !== "i32" || index.shape.length !== 1) {
    throw new ShapeError(
      `gather takes rows of a tensor by an i32 vector, not ${formatShape(x.shape)} by ${index.dtype} ${formatShape(index.shape)}`,
    );
  }
  const table: Rows = { rows, width: x.size / rows, count: index.size };
  return apply(gatherRule(table, x.dtype), [x, index], [index.size, ...x.shape.slice(1)], x.dtype);
}

function gatherRule(table: Rows, type: DType): Rule {
  return {
    name: "gather",
    integers: 1,
    below: table.rows,
    reads: ({ primal }) => [primal, true],
    kernel({ inputs: [x, index], out }) {
      const count = size(out.shape);
      return { code: gatherShader(table, type, x!, index!, out), grid: linearGrid(count), flops: 0 };
    },
    vjp: ([x, index], _output, cotangent) => [
      apply(scatterRule(table), [cotangent, index!], x!.shape),
      undefined,
    ],
  };
}

function scatterRule(table: Rows): Rule {
  return {
    name: "scatter",
    integers: 1,
    reads: ({ primal }) => [primal, true],
    kernel({ inputs: [x, index], out }) {
      const count = size(out.shape);
      return {
        code: scatterShader(table, x!, index!, out),
        grid: linearGrid(count),
        flops: table.count * table.width,
      };
    },
  };
}
