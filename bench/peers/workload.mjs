/**
 * The common workload: one hypergradient of data hyper-cleaning with a linear softmax classifier.
 *
 * Every peer and hypergrad itself read the same numbers from here. The generator uses only integer
 * arithmetic, + and *, so that it gives the same bits in every engine.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Sizes and constants of the workload; losses are means over examples. */
export const workload = Object.freeze({
  train: 1000,
  val: 1000,
  /** 784 pixels and a constant 1 that stands for the bias. */
  inputs: 785,
  classes: 10,
  /** Full-batch steps of v = μv + g, w = w − ηv from w = 0. */
  steps: 20,
  lr: 0.1,
  momentum: 0.9,
  /** The inner loss is mean_i σ(λ_i)·CE_i + l2·‖W‖². */
  l2: 0.001,
});

/** The estimators to time, in the order of the report: `k` steps back, or `gamma` for the streaming one. */
export const estimators = Object.freeze([
  { name: "rmd", k: workload.steps },
  { name: "krmd5", k: 5 },
  { name: "greedy0.9", gamma: 0.9 },
]);

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

/**
 * Draws the data: class-dependent means on a fifth of the pixels, noise on all, clipped to [0, 1].
 * Each training label is replaced by a uniformly random class with probability ½.
 *
 * @returns {import("./workload.mjs").Data} `trainX` [train, inputs] and `valX` [val, inputs] row-major,
 * `trainY` and `valY` class numbers, `trueY` the training labels before corruption.
 */
export function generate(seed = 1) {
  const { train, val, inputs, classes } = workload;
  const pixels = inputs - 1;
  const next = xorshift(Math.imul(seed, 0x9e3779b9));
  const uniform = () => next() / 2 ** 32;
  const classOf = () => next() % classes;

  const means = Float64Array.from({ length: classes * pixels }, () => {
    const active = uniform() < 0.2;
    return (active ? 0.4 : 0) + 0.2 * uniform();
  });
  const split = (count) => {
    const x = new Float32Array(count * inputs);
    const y = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      y[i] = classOf();
      for (let j = 0; j < pixels; j++) {
        const noise = uniform() + uniform() + uniform() - 1.5;
        x[i * inputs + j] = Math.min(1, Math.max(0, means[y[i] * pixels + j] + noise));
      }
      x[i * inputs + pixels] = 1;
    }
    return { x, y };
  };
  const training = split(train);
  const validation = split(val);
  const corrupted = training.y.map((label) => (uniform() < 0.5 ? classOf() : label));
  return {
    trainX: training.x,
    trainY: corrupted,
    trueY: training.y,
    valX: validation.x,
    valY: validation.y,
  };
}

/** What every peer reports of a hypergradient [train], so that the numbers can be compared. */
export function checksum(hypergradient) {
  let sum = 0;
  for (let i = 0; i < hypergradient.length; i++) sum += hypergradient[i] ** 2;
  return { norm: Math.sqrt(sum), first: Array.from(hypergradient).slice(0, 3) };
}

/** Writes the data as raw little-endian float32/int32 files and `workload.json`, for peers outside JavaScript. */
export function dump(folder, data = generate()) {
  mkdirSync(folder, { recursive: true });
  for (const [name, array] of Object.entries(data)) writeFileSync(join(folder, `${name}.bin`), array);
  writeFileSync(join(folder, "workload.json"), JSON.stringify({ ...workload, estimators }));
}
