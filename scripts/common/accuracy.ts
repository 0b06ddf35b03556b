/** How good classifiers are on labelled images. */
import {
  correct,
  type Dataset,
  differentiate,
  type Gpu,
  type Model,
  mean,
  type Pixels,
  pixels,
  take,
  type Values,
  values,
} from "../../src/index.ts";

/** Images, or other features, as rows, [n × features]. */
export function inputs(dataset: Dataset): Values {
  return values(dataset.images, rowsOf(dataset));
}

/** Images as rows that stay bytes, [n × pixels]. */
export function imageRows(dataset: Dataset): Pixels {
  return pixels(dataset.images, rowsOf(dataset));
}

function rowsOf({ images, labels }: Dataset): [number, number] {
  return [labels.length, images.length / labels.length];
}

/**
 * The share of the images that each lane's classifier gets right, all with the same model.
 * @param options.parameters as the inner loop leaves them: with several lanes, the lane is the first axis
 * @param options.atOnce so many images at a time; fewer take less memory
 */
export async function accuracy<W extends string>(
  gpu: Gpu,
  model: Model<W>,
  dataset: Dataset,
  options: { parameters: Readonly<Record<W, Values>>; lanes?: number; atOnce?: number },
): Promise<number[]> {
  const total = dataset.labels.length;
  const { parameters, lanes = 1, atOnce = total } = options;
  const shares = new Array<number>(lanes).fill(0);
  for (let start = 0; start < total; start += atOnce) {
    const count = Math.min(atOnce, total - start);
    const part = take(
      dataset,
      Array.from({ length: count }, (_, i) => start + i),
    );
    const measure = await differentiate(gpu, {
      parameters: model.parameters,
      data: { x: inputs(part), y: values(part.labels) },
      lanes,
      loss: (w, _hyper, { x, y }) => mean(correct(model.apply(w, x!), y!)),
    });
    measure.set({ parameters });
    (await measure.value()).forEach((share, lane) => {
      shares[lane]! += (count / total) * share;
    });
    measure.destroy();
  }
  return shares;
}
