import { type BilevelSpec, bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { conv2d } from "../../src/graph/operations/conv2d.ts";
import { reshape, slice, transpose } from "../../src/graph/operations/copy.ts";
import { crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import {
  exp,
  relu,
  sigmoid,
  sin,
  softplus,
  sqrt,
  square,
  tanh,
} from "../../src/graph/operations/elementwise.ts";
import { add, neg, scale, sub, total } from "../../src/graph/operations/linear_combination.ts";
import { dense, matmul } from "../../src/graph/operations/matmul.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { div, mul } from "../../src/graph/operations/multiply.ts";
import { maxPool } from "../../src/graph/operations/pool.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { perLane, type Values } from "../../src/graph/values.ts";
import { decodeAll, type GoldenCase } from "./golden.ts";

type Spec = BilevelSpec<string, string, string, string>;
type Tensors = Readonly<Record<string, Tensor>>;
type Losses = Pick<Spec["inner"], "loss" | "data"> & { outer: Pick<Spec["outer"], "loss" | "data"> };

const activations: Record<string, (x: Tensor) => Tensor> = { relu, tanh, softplus };

/** Golden problems written with the package's operations; formulas as in each file's `definition`. */
const problems: Record<string, (golden: GoldenCase) => Losses> = {
  toy2d: ({ arrays, config }) => ({
    data: decodeAll(arrays),
    loss: ({ w }, { alpha }, { G }) => scale(0.5, sum(mul(G!, square(sub(w!, alpha!))))),
    outer: {
      data: decodeAll(arrays),
      loss: ({ w }, { alpha }, { center }) => {
        const f = add(squaredNorm(w!), scale(10, squaredNorm(sin(w!))));
        return config.outer === "f" ? f : add(f, scale(5, squaredNorm(sub(alpha!, center!))));
      },
    },
  }),
  least_squares: ({ arrays }) => {
    const residual = (matrix: Tensor, x: Tensor, rhs: Tensor) => sub(product(matrix, x), rhs);
    return {
      data: decodeAll(arrays),
      loss: ({ y }, { theta }, { C, D, e }) => squaredNorm(add(product(C!, theta!), residual(D!, y!, e!))),
      outer: { data: decodeAll(arrays), loss: ({ y }, _a, { A, b }) => squaredNorm(residual(A!, y!, b!)) },
    };
  },
  hypercleaning_linear: (golden) =>
    hypercleaning(golden, augmented, ({ W }, x) => matmul(x, W!, { transposeB: true })),
  hypercleaning_mlp: (golden) => hypercleaning(golden, (x) => x, network(golden)),
  hypercleaning_cnn: (golden) => hypercleaning(golden, (x) => x, convolutional),
  warp_meta: ({ arrays, config }) => {
    const data = decodeAll(arrays);
    const task = (part: string) => ({ x: perLane(data[`X_${part}`]!), y: perLane(data[`y_${part}`]!) });
    const error = (w: Tensors, a: Tensors, x: Tensor, y: Tensor) => mean(crossEntropy(warped(w, a, x), y));
    return {
      data: task("support"),
      loss: (w, a, { x, y }) => {
        const fit = error(w, a, x!, y!);
        if (config.variant !== "center") return fit;
        const layers = Object.values(w).map((layer) => reshape(layer, [-1]));
        const parts = layers.map((layer, index) => {
          const before = layers.slice(0, index).reduce((count, { size }) => count + size, 0);
          return squaredNorm(sub(layer, slice(a.c!, before, before + layer.size)));
        });
        return add(fit, mul(a.rho!, total(parts)));
      },
      outer: { data: task("query"), loss: (w, a, { x, y }) => error(w, a, x!, y!) },
    };
  },
  optimizer_hyperparams: (golden) => hypercleaning(golden, (x) => x, network(golden)),
  ridge_logistic: ({ arrays }) => {
    const { X_train, y_train, X_val, y_val } = decodeAll(arrays);
    const logistic = (w: Tensor, x: Tensor, y: Tensor) => mean(softplus(neg(mul(y, product(x, w)))));
    return {
      data: { x: X_train!, y: y_train! },
      loss: ({ w }, { log_l2 }, { x, y }) => add(logistic(w!, x!, y!), sum(mul(exp(log_l2!), square(w!)))),
      outer: { data: { x: X_val!, y: y_val! }, loss: ({ w }, _a, { x, y }) => logistic(w!, x!, y!) },
    };
  },
  group_lasso: ({ arrays, config }) => {
    const { X_train, y_train, X_val, y_val } = decodeAll(arrays);
    const misfit = (w: Tensor, x: Tensor, y: Tensor) => scale(0.5, squaredNorm(sub(y, product(x, w))));
    return {
      data: { x: X_train!, y: y_train! },
      loss: ({ w }, { theta_raw }, { x, y }) => {
        const raised = exp(theta_raw!);
        const theta = div(raised, reshape(sum(raised, 1), [-1, 1]));
        const groups = sum(square(mul(theta, reshape(w!, [-1, 1]))), 0);
        return add(misfit(w!, x!, y!), scale(Number(config.lam), sum(sqrt(add(groups, 1e-6)))));
      },
      outer: { data: { x: X_val!, y: y_val! }, loss: ({ w }, _a, { x, y }) => misfit(w!, x!, y!) },
    };
  },
  task_interaction: ({ arrays, config }) => {
    const { X_train, y_train, X_val, y_val } = decodeAll(arrays);
    const tasks = Number(config.V);
    const errors = (w: Tensor, x: Tensor, y: Tensor) =>
      total(
        Array.from({ length: tasks }, (_, v) => {
          const logits = matmul(first(slice(x, v, v + 1)), first(slice(w, v, v + 1)), { transposeB: true });
          return mean(crossEntropy(logits, first(slice(y, v, v + 1))));
        }),
      );
    return {
      data: { x: augmented(X_train!), y: y_train! },
      loss: ({ W }, { C_raw, rho }, { x, y }) => {
        const rows = reshape(W!, [tasks, 1, -1]);
        const columns = reshape(W!, [1, tasks, -1]);
        const distances = sum(square(sub(rows, columns)), 2);
        const interaction = softplus(scale(0.5, add(C_raw!, transpose(C_raw!))));
        return add(add(errors(W!, x!, y!), sum(mul(interaction, distances))), mul(rho!, squaredNorm(W!)));
      },
      outer: { data: { x: augmented(X_val!), y: y_val! }, loss: ({ W }, _a, { x, y }) => errors(W!, x!, y!) },
    };
  },
};

/** The problem of a golden case, or undefined when its operations are not there yet. */
export function goldenProblem(golden: GoldenCase): Problem | undefined {
  const losses = problems[golden.problem]?.(golden);
  if (losses === undefined) return undefined;
  const hyper = decodeAll(golden.alpha0);
  return bilevel({
    lanes: golden.n_tasks,
    ...("w0" in hyper && { start: "w0" }),
    parameters: decodeAll(golden.w0),
    hyper,
    inner: {
      data: losses.data,
      loss: losses.loss,
      steps: golden.T,
      optimizer: sgd({ lr: golden.eta ?? "eta", momentum: golden.mu ?? "mu" }),
    },
    outer: losses.outer,
  });
}

function hypercleaning(
  { arrays, config }: GoldenCase,
  inputs: (x: Values) => Values,
  logits: (w: Readonly<Record<string, Tensor>>, x: Tensor) => Tensor,
): Losses {
  const { X_train, y_train, X_val, y_val } = decodeAll(arrays);
  return {
    data: { x: inputs(X_train!), y: y_train! },
    loss: (w, { weights }, { x, y }) => {
      const errors = crossEntropy(logits(w, x!), y!);
      const weighted = weights ? mul(sigmoid(weights), errors) : errors;
      const reduced = config.reduction === "sum" ? sum(weighted) : mean(weighted);
      return add(reduced, scale(Number(config.reg), squaredNorm(w)));
    },
    outer: {
      data: { x: inputs(X_val!), y: y_val! },
      loss: (w, _a, { x, y }) => mean(crossEntropy(logits(w, x!), y!)),
    },
  };
}

function convolutional(w: Tensors, x: Tensor): Tensor {
  const features = [1, 2, 3].reduce(
    (hidden, layer) =>
      maxPool(relu(conv2d(hidden, w[`conv${layer}.W`]!, { padding: 1, bias: w[`conv${layer}.b`]! })), {
        size: 2,
      }),
    x,
  );
  return dense(reshape(features, [x.shape[0]!, -1]), w["fc.W"]!, w["fc.b"]);
}

/** Layers 1 and 3 and the last are adapted, 2 and 4 are hyperparameters. */
function warped(w: Tensors, a: Tensors, x: Tensor): Tensor {
  const layers = { ...w, ...a };
  const features = [1, 2, 3, 4].reduce(
    (hidden, layer) =>
      relu(
        conv2d(hidden, layers[`conv${layer}.W`]!, { padding: 1, stride: 2, bias: layers[`conv${layer}.b`]! }),
      ),
    x,
  );
  return dense(reshape(features, [x.shape[0]!, -1]), w["fc.W"]!, w["fc.b"]);
}

function network({ config }: GoldenCase) {
  const activation = activations[String(config.act)]!;
  return ({ W1, b1, W2, b2 }: Readonly<Record<string, Tensor>>, x: Tensor) =>
    dense(activation(dense(x, W1!, b1)), W2!, b2);
}

function product(matrix: Tensor, vector: Tensor): Tensor {
  return reshape(matmul(matrix, reshape(vector, [-1, 1])), [-1]);
}

function first(x: Tensor): Tensor {
  return reshape(x, x.shape.slice(1));
}

/** A constant 1 after the last column. */
function augmented({ shape, data }: Values): Values {
  const width = shape[shape.length - 1]!;
  const rows = data.length / width;
  const out = new Float32Array(rows * (width + 1)).fill(1);
  for (let row = 0; row < rows; row++)
    out.set(data.subarray(row * width, (row + 1) * width), row * (width + 1));
  return { shape: [...shape.slice(0, -1), width + 1], data: out };
}
