/**
 * The common workloads: one hypergradient each, whose sizes and constants every peer and hypergrad itself read from
 * here, and the form in which its numbers go from a peer to the report.
 */

/** 28×28 images; each layer is a 3×3 convolution with a border of one zero, a bias, relu, and a max-pool where given. */
const image = [1, 28, 28];
const peers = ["jax", "jax-alone", "torch", "torch-compile", "jax-jit"];

/** For each workload, losses are means over examples and each inner step is v = μv + g, w = w − ηv, on all examples. */
const linear = {
  about: "data hyper-cleaning with a linear classifier",
  peers: [...peers, "tfjs"],
  train: 1000,
  val: 1000,
  /** 784 pixels and a constant 1 that stands for the bias. */
  inputs: 785,
  classes: 10,
  /** Of the training labels, the share that is redrawn uniformly. */
  noise: 0.5,
  steps: 20,
  lr: 0.1,
  momentum: 0.9,
  /** The inner loss is mean_i σ(λ_i)·CE_i + l2·‖W‖², from W = 0. */
  l2: 0.001,
  estimators: [
    { name: "rmd", k: 20 },
    { name: "krmd5", k: 5 },
    { name: "greedy0.9", gamma: 0.9 },
  ],
  /** The largest relative error of a hypergradient. */
  tolerance: 1e-4,
};

const table = {
  linear,
  /** The sizes of the literature's hyper-cleaning, for GPUs. */
  "linear-large": {
    ...linear,
    peers,
    train: 5000,
    val: 5000,
    steps: 100,
    estimators: [{ name: "rmd", k: 100 }, ...linear.estimators.slice(1)],
  },
  cnn: {
    about: "data hyper-cleaning with three convolutions of 8 channels",
    peers,
    train: 256,
    val: 256,
    image,
    layers: Array.from({ length: 3 }, () => ({ channels: 8, stride: 1, pool: 2 })),
    classes: 10,
    noise: 0.5,
    steps: 5,
    lr: 0.1,
    momentum: 0.9,
    /** The inner loss is mean_i σ(λ_i)·CE_i. */
    l2: 0,
    estimators: [
      { name: "rmd", k: 5 },
      { name: "greedy0.9", gamma: 0.9 },
    ],
    tolerance: 1e-3,
  },
  "few-shot": {
    about: "a meta-batch of 8 five-way one-shot tasks, six convolutions of 32 channels",
    peers,
    /** The hypergradient is the mean over tasks, each with examples of its own. */
    tasks: 8,
    train: 5,
    val: 50,
    image,
    layers: [2, 1, 2, 1, 2, 1].map((stride) => ({ channels: 32, stride, pool: 1 })),
    /** These layers are the hyperparameters; the others and the dense one are trained. */
    warp: [2, 4, 6],
    classes: 5,
    noise: 0,
    steps: 5,
    lr: 0.1,
    momentum: 0.9,
    l2: 0,
    estimators: [
      { name: "rmd", k: 5 },
      { name: "greedy0.9", gamma: 0.9 },
    ],
    tolerance: 1e-3,
  },
};

/** @type {Readonly<Record<string, import("./workload.mjs").Workload>>} */
export const workloads = Object.freeze(
  Object.fromEntries(
    Object.entries(table).map(([name, workload]) => [name, { name, tasks: 1, ...workload }]),
  ),
);

/** The workload that a peer is to run: $PEER_WORKLOAD, which run.mjs sets for all of them. */
export function workloadAsked() {
  const name = process.env.PEER_WORKLOAD || "linear";
  if (!Object.hasOwn(workloads, name))
    throw new Error(`PEER_WORKLOAD is "${name}"; use ${Object.keys(workloads).join(", ")}`);
  return workloads[name];
}

/**
 * The shapes of a workload's parameters in their order: `weight{l}` and `bias{l}` of layer l, counted from 1 and the
 * dense one last; `weight` [inputs, classes] without layers.
 */
export function parameterShapes({ inputs, image, layers, classes }) {
  if (!layers) return { weight: [inputs, classes] };
  const shapes = {};
  let [channels, ...sides] = image;
  layers.forEach((layer, l) => {
    shapes[`weight${l + 1}`] = [layer.channels, channels, 3, 3];
    shapes[`bias${l + 1}`] = [layer.channels];
    channels = layer.channels;
    sides = sides.map((side) => Math.floor((Math.floor((side - 1) / layer.stride) + 1) / layer.pool));
  });
  const dense = layers.length + 1;
  shapes[`weight${dense}`] = [classes, channels * sides[0] * sides[1]];
  shapes[`bias${dense}`] = [classes];
  return shapes;
}

/** The parameters that are hyperparameters, in their order; none where those are the examples' weights. */
export function warpNames({ warp = [] }) {
  return warp.flatMap((l) => [`weight${l}`, `bias${l}`]);
}

/** Little-endian numbers as text. */
export const encode = (numbers) => Buffer.from(Float32Array.from(numbers).buffer).toString("base64");

/** @returns the numbers of `encode`, or of a float64 reference with `bytes` = 8. */
export function decode(text, bytes = 4) {
  const { buffer, byteOffset, length } = Buffer.from(text, "base64");
  const copy = buffer.slice(byteOffset, byteOffset + length - (length % bytes));
  return bytes === 8 ? new Float64Array(copy) : new Float32Array(copy);
}
