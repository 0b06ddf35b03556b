/**
 * The numbers of a workload. The generator uses only integer arithmetic, +, *, / and square roots, so that it gives the
 * same bits in every engine.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parameterShapes, warpNames } from "./workload.mjs";

/** xorshift32: uniform integers in [1, 2³²). */
function xorshift(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const size = (shape) => shape.reduce((product, side) => product * side, 1);

/**
 * Draws the data: class-dependent means on a fifth of the pixels, and noise on all. Those of the linear workload are
 * fractions of 255 from 0 to 1, as those of image files are; not so of a convolutional one, so that no two pixels of a
 * max-pool are equal.
 * Training labels are redrawn by the workload's noise; a task of several has its classes in turn.
 *
 * @returns {import("./generate.mjs").Data} `trainX` [tasks, train, inputs] and `valX` [tasks, val, inputs] row-major,
 * `trainY` and `valY` class numbers.
 */
export function generate(workload, seed = 1) {
  const { tasks, train, val, image, classes, noise } = workload;
  const inputs = workload.inputs ?? size(image);
  const pixels = image ? inputs : inputs - 1;
  const next = xorshift(Math.imul(seed, 0x9e3779b9));
  const uniform = () => next() / 2 ** 32;
  const classOf = () => next() % classes;
  const seen = image ? (value) => value : (value) => Math.round(255 * Math.min(1, Math.max(0, value))) / 255;

  const data = {
    trainX: new Float32Array(tasks * train * inputs),
    trainY: new Int32Array(tasks * train),
    valX: new Float32Array(tasks * val * inputs),
    valY: new Int32Array(tasks * val),
  };
  for (let task = 0; task < tasks; task++) {
    const means = Float64Array.from({ length: classes * pixels }, () => {
      const active = uniform() < 0.2;
      return (active ? 0.4 : 0) + 0.2 * uniform();
    });
    const fill = (x, y, count) => {
      for (let i = 0; i < count; i++) {
        y[i] = tasks > 1 ? i % classes : classOf();
        for (let j = 0; j < pixels; j++) {
          const noise = uniform() + uniform() + uniform() - 1.5;
          x[i * inputs + j] = seen(means[y[i] * pixels + j] + noise);
        }
        if (!image) x[i * inputs + pixels] = 1;
      }
    };
    const part = (array, count) => array.subarray(task * count, (task + 1) * count);
    const labels = part(data.trainY, train);
    fill(part(data.trainX, train * inputs), labels, train);
    fill(part(data.valX, val * inputs), part(data.valY, val), val);
    labels.set(labels.map((label) => (uniform() < noise ? classOf() : label)));
  }
  return data;
}

/**
 * The first parameters by name: a linear model from zero; of others the biases from zero and the weights with variance
 * 2 / inputs (He et al. 2015), each the sum of three uniform numbers.
 */
export function firstValues(workload, seed = 2) {
  const next = xorshift(Math.imul(seed, 0x9e3779b9));
  const unit = () => 2 * ((next() + next() + next()) / 2 ** 32 - 1.5);
  const filled = ([name, shape]) => {
    const count = size(shape);
    const spread = workload.layers && shape.length > 1 ? Math.sqrt((2 * shape[0]) / count) : 0;
    return [name, Float32Array.from({ length: count }, () => spread && spread * unit())];
  };
  return Object.fromEntries(Object.entries(parameterShapes(workload)).map(filled));
}

/** Writes all of it as raw little-endian float32/int32 files and `workload.json`, for peers outside JavaScript. */
export function dump(workload, folder) {
  mkdirSync(folder, { recursive: true });
  for (const [name, array] of Object.entries({ ...generate(workload), ...firstValues(workload) }))
    writeFileSync(join(folder, `${name}.bin`), array);
  const about = { ...workload, shapes: parameterShapes(workload), hyper: warpNames(workload) };
  writeFileSync(join(folder, "workload.json"), JSON.stringify(about));
}
