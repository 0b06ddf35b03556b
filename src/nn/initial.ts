import { type Shape, size } from "../graph/shape.ts";
import { type Values, values } from "../graph/values.ts";
import type { Random } from "../random.ts";

/** First weights [outputs × …] of a layer under a rectifier: normal, with variance 2 / inputs (He et al. 2015). */
export function heNormal(shape: Shape, random: Random): Values {
  const count = size(shape);
  const spread = Math.sqrt((2 * shape[0]!) / count);
  return values(
    Float32Array.from({ length: count }, () => spread * random.normal()),
    shape,
  );
}
