import type { Dataset } from "../../src/data/dataset.ts";

/**
 * Test accuracy of a linear softmax classifier with bias after 100 steps of full-batch gradient descent with
 * step 1 on the mean cross-entropy plus 0.001 ‖W‖² (bias not penalised), from zero, in float64.
 * @param leftOut nonzero for training examples that are not used
 */
export function softmaxAccuracy(
  train: Dataset,
  labels: ArrayLike<number>,
  leftOut: ArrayLike<number>,
  test: Dataset,
): number {
  const pixels = train.rows * train.columns;
  const { classes } = train;
  const weights = Array.from({ length: classes }, () => new Float64Array(pixels));
  const bias = new Float64Array(classes);
  const logits = new Float64Array(classes);

  const evaluate = (image: Float32Array) => {
    weights.forEach((row, c) => {
      let sum = bias[c]!;
      for (let k = 0; k < pixels; k++) sum += row[k]! * image[k]!;
      logits[c] = sum;
    });
  };

  const used = Array.from(train.labels.keys()).filter((i) => !leftOut[i]);
  for (let step = 0; step < 100; step++) {
    const gradient = weights.map((row) => row.map((value) => 0.002 * value));
    const biasGradient = new Float64Array(classes);
    for (const i of used) {
      const image = train.images.subarray(i * pixels, (i + 1) * pixels);
      evaluate(image);
      const top = Math.max(...logits);
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
      for (let c = 0; c < classes; c++) {
        const error = (Math.exp(logits[c]! - top) / total - (labels[i] === c ? 1 : 0)) / used.length;
        const row = gradient[c]!;
        for (let k = 0; k < pixels; k++) row[k]! += error * image[k]!;
        biasGradient[c]! += error;
      }
    }
    for (let c = 0; c < classes; c++) {
      for (let k = 0; k < pixels; k++) weights[c]![k]! -= gradient[c]![k]!;
      bias[c]! -= biasGradient[c]!;
    }
  }

  let right = 0;
  for (let i = 0; i < test.labels.length; i++) {
    evaluate(test.images.subarray(i * pixels, (i + 1) * pixels));
    if (logits.indexOf(Math.max(...logits)) === test.labels[i]) right++;
  }
  return right / test.labels.length;
}
