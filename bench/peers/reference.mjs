/**
 * The linear workload's hypergradients in plain float64 JavaScript: the values that every peer must agree with.
 *
 * With P = softmax(XW) and Y one-hot, the gradient of the inner loss is Xᵀ diag(σ/n)(P − Y) + 2·l2·W;
 * its derivatives along R need only the product XR, once for the Hessian and the mixed part together.
 */
import { generate } from "./generate.mjs";
import { workloads } from "./workload.mjs";

const { estimators, inputs, classes, steps, lr, momentum, l2, train } = workloads.linear;
const size = inputs * classes;

/** XW for X [n, inputs] and W [inputs, classes]. */
function logits(x, w) {
  const n = x.length / inputs;
  const out = new Float64Array(n * classes);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < inputs; j++) {
      const pixel = x[i * inputs + j];
      if (pixel === 0) continue;
      for (let c = 0; c < classes; c++) out[i * classes + c] += pixel * w[j * classes + c];
    }
  return out;
}

/** XᵀD for X [n, inputs] and D [n, classes]. */
function transposed(x, d) {
  const n = x.length / inputs;
  const out = new Float64Array(size);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < inputs; j++) {
      const pixel = x[i * inputs + j];
      if (pixel === 0) continue;
      for (let c = 0; c < classes; c++) out[j * classes + c] += pixel * d[i * classes + c];
    }
  return out;
}

function softmaxRows(z) {
  const p = z.slice();
  for (let at = 0; at < p.length; at += classes) {
    const row = p.subarray(at, at + classes);
    const top = Math.max(...row);
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      row[c] = Math.exp(row[c] - top);
      sum += row[c];
    }
    for (let c = 0; c < classes; c++) row[c] /= sum;
  }
  return p;
}

/** P − Y [n, classes], the gradient of each example's cross-entropy in its logits. */
function residual(p, y) {
  const d = p.slice();
  for (let i = 0; i < y.length; i++) d[i * classes + y[i]] -= 1;
  return d;
}

const sigmoid = (v) => 1 / (1 + Math.exp(-v));

/** Float64 hypergradients by estimator name, each [train], at the given λ (zeros unless told). */
export function reference(data = generate(workloads.linear), lambda = new Float64Array(train)) {
  const { trainX, trainY, valX, valY } = data;
  const n = trainY.length;
  const weight = lambda.map(sigmoid);
  const slope = weight.map((s) => s * (1 - s));

  /** Forward quantities at W, shared by the gradient and both second-order products. */
  const at = (w) => {
    const p = softmaxRows(logits(trainX, w));
    return { w, p, d: residual(p, trainY) };
  };
  const innerGradient = ({ w, d }) => {
    const g = transposed(
      trainX,
      d.map((value, k) => (value * weight[Math.floor(k / classes)]) / n),
    );
    return g.map((value, k) => value + 2 * l2 * w[k]);
  };
  const mixed = ({ d }, xr) =>
    Float64Array.from({ length: n }, (_, i) => {
      let dot = 0;
      for (let c = 0; c < classes; c++) dot += d[i * classes + c] * xr[i * classes + c];
      return (slope[i] * dot) / n;
    });
  const hessian = ({ p }, xr, r) => {
    const tangent = new Float64Array(p.length);
    for (let i = 0; i < n; i++) {
      let mean = 0;
      for (let c = 0; c < classes; c++) mean += p[i * classes + c] * xr[i * classes + c];
      for (let c = 0; c < classes; c++) {
        const k = i * classes + c;
        tangent[k] = (weight[i] / n) * p[k] * (xr[k] - mean);
      }
    }
    return transposed(trainX, tangent).map((value, k) => value + 2 * l2 * r[k]);
  };
  const outerGradient = (w) =>
    transposed(
      valX,
      residual(softmaxRows(logits(valX, w)), valY).map((value) => value / valY.length),
    );

  const trajectory = [];
  const v = new Float64Array(size);
  let w = new Float64Array(size);
  for (let t = 0; t < steps; t++) {
    const point = at(w);
    trajectory.push(point);
    const g = innerGradient(point);
    for (let k = 0; k < size; k++) v[k] = momentum * v[k] + g[k];
    w = w.map((value, k) => value - lr * v[k]);
  }

  const reverse = (k) => {
    const h = new Float64Array(n);
    const p = outerGradient(w);
    let q = new Float64Array(size);
    for (const point of trajectory.slice(-k).reverse()) {
      const r = q.map((value, i) => value - lr * p[i]);
      const xr = logits(trainX, r);
      const m = mixed(point, xr);
      const hr = hessian(point, xr, r);
      for (let i = 0; i < n; i++) h[i] += m[i];
      for (let i = 0; i < size; i++) p[i] += hr[i];
      q = r.map((value) => momentum * value);
    }
    return h;
  };
  const greedy = (gamma) => {
    const h = new Float64Array(n);
    trajectory.forEach((point, t) => {
      const after = trajectory[t + 1]?.w ?? w;
      const m = mixed(
        point,
        logits(
          trainX,
          outerGradient(after).map((value) => -lr * value),
        ),
      );
      for (let i = 0; i < n; i++) h[i] = gamma * h[i] + m[i];
    });
    return h;
  };
  return Object.fromEntries(
    estimators.map(({ name, k, gamma }) => [name, gamma === undefined ? reverse(k) : greedy(gamma)]),
  );
}
