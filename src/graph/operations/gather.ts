import { gather as gatherShader, type Rows, scatter as scatterShader } from "../../../shaders/gather.ts";
import { linearGrid } from "../../../shaders/operand.ts";
import { inVectors } from "../../../shaders/width.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { formatShape, ShapeError, size } from "../shape.ts";
import type { DType, Operand, Rule, Tensor } from "../tensor.ts";

/**
 * Rows of `x` by index: y[r, …] = x[index[r], …]. `index` holds integers in [0, rows of x): data with others is refused,
 * and where one comes up on the GPU the row is NaN, -1 of integers, or 0 of pixels. @throws ShapeError
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
  const dtype = x.dtype === "unorm8" && !isOfWords(x, table) ? "f32" : x.dtype;
  return apply(gatherRule(table, dtype), [x, index], [index.size, ...x.shape.slice(1)], dtype);
}

/** Bytes of a word. */
const WORD = 4;

/** Are rows of bytes whole words, so that they can be moved as they are? Others are made floats on the way. */
const isOfWords = ({ source }: Tensor, { width }: Rows): boolean =>
  width % WORD === 0 && (source.kind !== "view" || source.offset % WORD === 0);

function inWords({ primal, ...rest }: Operand): Operand {
  if (primal === undefined) return rest;
  const { isUnorm8: _, ...view } = inVectors(primal, WORD);
  return { ...rest, primal: view };
}

function gatherRule(table: Rows, dtype: DType): Rule {
  return {
    name: "gather",
    bytes: [0],
    integers: 1,
    below: table.rows,
    reads: ({ primal }) => [primal, true],
    kernel({ inputs: [x, index], out }) {
      const count = size(out.shape);
      if (dtype !== "unorm8")
        return { code: gatherShader(table, dtype, x!, index!, out), grid: linearGrid(count), flops: 0 };
      const words = { ...table, width: table.width / WORD };
      const code = gatherShader(words, "u32", inWords(x!), index!, inWords(out));
      return { code, grid: linearGrid(count / WORD), flops: 0 };
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
