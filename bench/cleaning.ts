import { type BatchLoss, bilevel, type Problem } from "../src/bilevel/problem.ts";
import { sgd } from "../src/bilevel/sgd.ts";
import type { Dataset } from "../src/data/dataset.ts";
import { crossEntropy } from "../src/graph/operations/cross_entropy.ts";
import { sigmoid } from "../src/graph/operations/elementwise.ts";
import { add, scale } from "../src/graph/operations/linear_combination.ts";
import { mean } from "../src/graph/operations/mean.ts";
import { mul } from "../src/graph/operations/multiply.ts";
import { squaredNorm } from "../src/graph/operations/squared_norm.ts";
import { type DataValues, pixels } from "../src/graph/pixels.ts";
import { type Values, values, zeros } from "../src/graph/values.ts";
import type { Model } from "../src/nn/models.ts";

interface Examples {
  readonly images: DataValues;
  readonly labels: Values;
}

/** Images as rows, kept as bytes or as floats. */
export function examples(
  { images, labels }: Pick<Dataset, "images" | "labels">,
  kept: typeof pixels | typeof values = pixels,
): Examples {
  return { images: kept(images, [labels.length, images.length / labels.length]), labels: values(labels) };
}

/** mean_i σ(λ_i) CE_i + l2 ‖w‖²: the inner loss of data hyper-cleaning; without the second term where `l2` is 0. */
export function innerLoss<W extends string>(
  model: Model<W>,
  l2 = 0.001,
): BatchLoss<W, "weight", "images" | "labels"> {
  return (w, { weight }, { images, labels }) => {
    const error = mean(mul(sigmoid(weight), crossEntropy(model.apply(w, images), labels)));
    return l2 === 0 ? error : add(error, scale(l2, squaredNorm(w)));
  };
}

export interface CleaningOptions<W extends string> {
  readonly model: Model<W>;
  readonly train: Examples;
  readonly val: Examples;
  /** T */
  readonly steps: number;
  readonly lr?: number;
  readonly momentum?: number;
  readonly l2?: number;
}

/** Data hyper-cleaning with a weight for each training example, from λ = 0. */
export function cleaning<W extends string>(options: CleaningOptions<W>): Problem<W, "weight"> {
  const { model, train, val, steps, lr = 0.1, momentum = 0.9, l2 } = options;
  return bilevel({
    parameters: model.parameters,
    hyper: { weight: zeros([train.labels.data.length]) },
    inner: { loss: innerLoss(model, l2), data: train, steps, optimizer: sgd({ lr, momentum }) },
    outer: {
      loss: (w, _, { images, labels }) => mean(crossEntropy(model.apply(w, images!), labels!)),
      data: val,
    },
  });
}
