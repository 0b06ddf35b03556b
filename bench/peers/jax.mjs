/**
 * jax-js on WebGPU under Dawn, started by `hypergrad run`, whose adapter it gets; with --alone without hypergrad's way of
 * asking the driver for news, as jax-js runs by itself. The whole hypergradient is one jitted function, as is natural in
 * JAX: the gradient through the unrolled steps, and for greedy a forward-mode product, of the per-example loss where the hyperparameters
 * are weights. Several tasks are one vmap.
 */
import { readFileSync } from "node:fs";
import { offerAdapter } from "./adapter.ts";
import { deviceOf } from "./device.ts";
import { firstValues, generate } from "./generate.mjs";
import { report } from "./measure.mjs";
import { parameterShapes, warpNames, workloadAsked } from "./workload.mjs";

const { setImmediate } = globalThis;
const choice = await offerAdapter(); // before jax-js, which looks for navigator.gpu
if (process.argv.includes("--alone")) {
  if (!choice.software) {
    console.log(JSON.stringify({ peer: "jax-alone", absent: "on a GPU it is jax" }));
    process.exit(0);
  }
  globalThis.setImmediate = setImmediate;
}
const { defaultDevice, grad, init, jit, jvp, lax, nn, numpy: np, tree, vmap } = await import("@jax-js/jax");
if (!(await init("webgpu")).includes("webgpu")) throw new Error("jax-js could not start its WebGPU backend");
defaultDevice("webgpu");

const workload = workloadAsked();
const { tasks, train, inputs, image, layers, classes, steps, lr, momentum, l2 } = workload;
const hyperNames = warpNames(workload);

/** [images, one-hot labels] of the tasks, [tasks, n, …]; of one task without that axis. */
function examples(x, y) {
  const axes = tasks > 1 ? [tasks, y.length / tasks] : [y.length];
  const rows = new Float32Array(y.length * classes);
  y.forEach((label, i) => {
    rows[i * classes + label] = 1;
  });
  return [np.array(x).reshape([...axes, ...(image ?? [inputs])]), np.array(rows).reshape([...axes, classes])];
}
const data = generate(workload);
const trainSet = examples(data.trainX, data.trainY);
const valSet = examples(data.valX, data.valY);

const shapes = parameterShapes(workload);
const first = Object.entries(firstValues(workload)).map(([name, values]) => [
  name,
  np.array(values).reshape(shapes[name]),
]);
const isHyper = ([name]) => hyperNames.includes(name);
const start = Object.fromEntries(first.filter((entry) => !isHyper(entry)));
const startHyper =
  hyperNames.length > 0 ? Object.fromEntries(first.filter(isHyper)) : { weights: np.zeros([train]) };

// jax-js counts references: a value passed to a function is consumed, `.ref` keeps it for another use.
const { ref, dispose } = tree;

/** max-pool by size×size windows; what is left over at the end of rows and columns is not seen. */
function maxPool(x, size) {
  const [n, channels, ...sides] = x.shape;
  const [rows, columns] = sides.map((side) => Math.floor(side / size));
  const whole = x.slice([], [], [0, rows * size], [0, columns * size]);
  return np.max(whole.reshape([n, channels, rows, size, columns, size]), [3, 5]);
}

function logits(p, x) {
  if (!layers) return np.dot(x, p.weight);
  layers.forEach(({ stride, pool }, l) => {
    const border = [
      [1, 1],
      [1, 1],
    ];
    const bias = p[`bias${l + 1}`].reshape([-1, 1, 1]);
    x = lax.convGeneralDilated(x, p[`weight${l + 1}`], [stride, stride], border).add(bias);
    // Before relu, which gives the same after it, for there is less to do.
    x = nn.relu(pool > 1 ? maxPool(x, pool) : x);
  });
  const dense = layers.length + 1;
  const flat = x.reshape([x.shape[0], -1]);
  return np.dot(flat, p[`weight${dense}`].transpose()).add(p[`bias${dense}`]);
}

/** Of each example. */
const crossEntropy = (p, [x, y]) => np.sum(nn.logSoftmax(logits(p, x)).mul(y), 1).neg();
const squares = (w) =>
  tree
    .leaves(w)
    .map((x) => np.sum(np.square(x)))
    .reduce((sum, x) => sum.add(x));

function innerLoss(w, alpha, batch) {
  if (hyperNames.length > 0) return np.mean(crossEntropy({ ...w, ...alpha }, batch));
  if (l2 === 0) return np.mean(nn.sigmoid(alpha.weights).mul(crossEntropy(w, batch)));
  return np.mean(nn.sigmoid(alpha.weights).mul(crossEntropy(ref(w), batch))).add(squares(w).mul(l2));
}

function outerLoss(w, alpha, batch) {
  if (hyperNames.length > 0) return np.mean(crossEntropy({ ...w, ...alpha }, batch));
  dispose(alpha);
  return np.mean(crossEntropy(w, batch));
}

/** One inner step. α is closed over because jax-js's grad stops gradients of its other arguments. */
function step([w, v], alpha, batch) {
  const g = grad((at) => innerLoss(at, alpha, batch))(ref(w));
  const velocity = tree.map((x, dx) => x.mul(momentum).add(dx), v, g);
  return [tree.map((x, dx) => x.sub(dx.mul(lr)), w, ref(velocity)), velocity];
}

function unroll(state, count, alpha, batch) {
  for (let t = 0; t < count; t++) state = step(state, ref(alpha), ref(batch));
  dispose([alpha, batch]);
  return state;
}

/** The gradient through the last k steps; k = steps is exact. */
const reverse = (k) => (alpha, w, v, batch, validation) => {
  const before = unroll([w, v], steps - k, ref(alpha), ref(batch));
  const loss = (at) => {
    const [last, velocity] = unroll(tree.map(lax.stopGradient, before), k, ref(at), batch);
    dispose(velocity);
    return outerLoss(last, at, validation);
  };
  return grad(loss)(alpha);
};

/** ∂²L/∂α∂w · r */
function mixedProduct(w, alpha, batch, r) {
  if (hyperNames.length > 0) {
    const along = (knobs) => {
      const g = grad((at) => innerLoss(at, knobs, batch))(w);
      return tree.leaves(tree.map((dx, x) => np.sum(dx.mul(x)), g, r)).reduce((sum, x) => sum.add(x));
    };
    return grad(along)(alpha);
  }
  const s = nn.sigmoid(alpha.weights);
  const slope = s.ref.mul(np.subtract(1, s)).div(train);
  const [values, tangents] = jvp((at) => crossEntropy(at, batch), [w], [r]);
  dispose(values);
  return { weights: slope.mul(tangents) };
}

const greedy = (gamma) => (alpha, w, v, batch, validation) => {
  let state = [w, v];
  let acc = tree.map((x) => np.zeros(x.shape), alpha);
  for (let t = 0; t < steps; t++) {
    const before = ref(state[0]);
    state = step(state, ref(alpha), ref(batch));
    const outer = grad((at) => outerLoss(at, ref(alpha), ref(validation)))(ref(state[0]));
    const r = tree.map((x) => x.mul(-lr), outer);
    const mixed = mixedProduct(before, ref(alpha), ref(batch), r);
    acc = tree.map((sum, x) => sum.mul(gamma).add(x), acc, mixed);
  }
  const [last, velocity] = state;
  dispose([velocity, batch]);
  if (hyperNames.length === 0) {
    dispose([alpha, last, validation]);
    return acc;
  }
  const direct = grad((at) => outerLoss(last, at, validation))(alpha);
  return tree.map((sum, x) => sum.add(x), acc, direct);
};

/** Flat, the mean over tasks. */
function flat(of) {
  const each = tasks > 1 ? vmap(of, [null, null, null, 0, 0]) : of;
  return jit((...given) => {
    const h = tree.leaves(each(...given)).map((x) => (tasks > 1 ? np.mean(x, 0) : x).reshape([-1]));
    return h.length > 1 ? np.concatenate(h) : h[0];
  });
}

const { version } = JSON.parse(
  readFileSync(new URL("./node_modules/@jax-js/jax/package.json", import.meta.url), "utf8"),
);
const peer = {
  ...{ peer: "jax", version, backend: "webgpu (dawn)" },
  ...{ adapter: choice.description, device: deviceOf(choice) },
};
await report(workload, peer, ({ k, gamma }) => {
  const hypergradient = flat(gamma === undefined ? reverse(k) : greedy(gamma));
  const rest = () => tree.map((x) => np.zeros(x.shape), start);
  return () => hypergradient(ref(startHyper), ref(start), rest(), ref(trainSet), ref(valSet)).data();
});
