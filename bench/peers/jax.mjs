/**
 * jax-js on WebGPU under Dawn. The whole hypergradient is one jitted function, as is natural in JAX: the
 * gradient through the unrolled steps, and for greedy a forward-mode product of the per-example loss.
 */
import { readFileSync } from "node:fs";
import { installWebGpu } from "./adapter.mjs";
import { report } from "./measure.mjs";
import { generate, workload } from "./workload.mjs";

const adapter = await installWebGpu(); // before jax-js, which looks for navigator.gpu
const { defaultDevice, grad, init, jit, jvp, lax, nn, numpy: np } = await import("@jax-js/jax");
if (!(await init("webgpu")).includes("webgpu")) throw new Error("jax-js could not start its WebGPU backend");
defaultDevice("webgpu");

const { train, inputs, classes, steps, lr, momentum, l2 } = workload;

const data = generate();
const matrix = (x) => np.array(x).reshape([x.length / inputs, inputs]);
const oneHot = (y) => {
  const rows = new Float32Array(y.length * classes);
  y.forEach((label, i) => {
    rows[i * classes + label] = 1;
  });
  return np.array(rows).reshape([y.length, classes]);
};
const trainSet = [matrix(data.trainX), oneHot(data.trainY)];
const valSet = [matrix(data.valX), oneHot(data.valY)];

// jax-js counts references: a value passed to a function is consumed, `.ref` keeps it for another use.
const crossEntropy = (w, [x, y]) => np.sum(nn.logSoftmax(np.dot(x, w)).mul(y), 1).neg();
const share = (pair) => pair.map((array) => array.ref);
const drop = (...arrays) => {
  for (const array of arrays.flat()) array.dispose();
};

const innerLoss = (w, lambda, batch) =>
  np.mean(nn.sigmoid(lambda).mul(crossEntropy(w.ref, batch))).add(np.sum(np.square(w)).mul(l2));
const outerLoss = (w, batch) => np.mean(crossEntropy(w, batch));

/** One inner step. λ is closed over because jax-js's grad stops gradients of its other arguments. */
function step([w, v], lambda, batch) {
  const g = grad((at) => innerLoss(at, lambda, batch))(w.ref);
  const velocity = v.mul(momentum).add(g);
  return [w.sub(velocity.ref.mul(lr)), velocity];
}

function unroll(state, count, lambda, batch) {
  for (let t = 0; t < count; t++) state = step(state, lambda.ref, share(batch));
  drop(lambda, batch);
  return state;
}

/** The gradient through the last k steps; k = steps is exact. */
const reverse = (k) =>
  jit((lambda, w, v, batch, validation) => {
    const start = unroll([w, v], steps - k, lambda.ref, share(batch));
    const loss = (at) => {
      const [last, velocity] = unroll(start.map(lax.stopGradient), k, at, batch);
      drop(velocity);
      return outerLoss(last, validation);
    };
    return grad(loss)(lambda);
  });

const greedy = (gamma) =>
  jit((lambda, w, v, batch, validation) => {
    const s = nn.sigmoid(lambda.ref);
    const slope = s.ref.mul(np.subtract(1, s)).div(train);
    let state = [w, v];
    let acc = np.zeros([train]);
    for (let t = 0; t < steps; t++) {
      const before = state[0].ref;
      state = step(state, lambda.ref, share(batch));
      const r = grad((at) => outerLoss(at, share(validation)))(state[0].ref).mul(-lr);
      const [losses, tangent] = jvp((at) => crossEntropy(at, share(batch)), [before], [r]);
      drop(losses);
      acc = acc.mul(gamma).add(slope.ref.mul(tangent));
    }
    drop(lambda, slope, state, batch, validation);
    return acc;
  });

const { version } = JSON.parse(
  readFileSync(new URL("./node_modules/@jax-js/jax/package.json", import.meta.url), "utf8"),
);
await report({ peer: "jax", version, backend: "webgpu (dawn)", adapter }, ({ k, gamma }) => {
  const hypergradient = gamma === undefined ? reverse(k) : greedy(gamma);
  const zeros = () => np.zeros([inputs, classes]);
  return () => hypergradient(np.zeros([train]), zeros(), zeros(), share(trainSet), share(valSet)).data();
});
process.exit(0); // dawn.node keeps Node alive while a device lives
