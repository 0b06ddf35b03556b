import type { PoolOptions } from "../../src/graph/operations/pool.ts";
import type { ConvOptions, NormOptions, Operations, ProductOptions } from "./operations.ts";

type Shape = readonly number[];
/** Coefficients of 1, ε₁, ε₂ and ε₁ε₂; an absent one is zero. */
type Parts = readonly [v: Float64Array, a?: Float64Array, b?: Float64Array, ab?: Float64Array];

/**
 * An array of hyper-dual numbers v + a ε₁ + b ε₂ + ab ε₁ε₂ with ε₁² = ε₂² = 0, in float64 (Fike & Alonso 2011).
 * With x seeded by the directions e and ż, f(x) carries ⟨∇f, e⟩ in a, ⟨∇f, ż⟩ in b and ⟨e, H ż⟩ in ab, exactly.
 * Only forward formulas are written here: nothing mirrors the engine's backward rules.
 */
export class HyperDual {
  readonly shape: Shape;
  readonly parts: Parts;

  constructor(shape: Shape, parts: Parts) {
    this.shape = shape;
    this.parts = parts;
  }

  static of(shape: Shape, v: ArrayLike<number>, a?: Float64Array, b?: Float64Array): HyperDual {
    return new HyperDual(shape, [Float64Array.from(v), a, b]);
  }
}

function linear(x: HyperDual, shape: Shape, f: (part: Float64Array) => Float64Array): HyperDual {
  const [v, a, b, ab] = x.parts;
  return new HyperDual(shape, [f(v), a && f(a), b && f(b), ab && f(ab)]);
}

function bilinear(
  x: HyperDual,
  y: HyperDual,
  shape: Shape,
  f: (x: Float64Array, y: Float64Array) => Float64Array,
): HyperDual {
  const [xv, xa, xb, xab] = x.parts;
  const [yv, ya, yb, yab] = y.parts;
  const part = (p?: Float64Array, q?: Float64Array) => p && q && f(p, q);
  return new HyperDual(shape, [
    f(xv, yv),
    plus(part(xa, yv), part(xv, ya)),
    plus(part(xb, yv), part(xv, yb)),
    plus(part(xab, yv), part(xa, yb), part(xb, ya), part(xv, yab)),
  ]);
}

/** f(x) elementwise, from f and its first two derivatives. */
function unary(x: HyperDual, ...[f, df, ddf]: ((x: number) => number)[]): HyperDual {
  const [v, a, b, ab] = x.parts;
  const slope = v.map((value) => df!(value));
  const first = (part?: Float64Array) => part && times(slope, part);
  const second =
    a &&
    b &&
    times(
      v.map((value) => ddf!(value)),
      times(a, b),
    );
  return new HyperDual(x.shape, [v.map((value) => f!(value)), first(a), first(b), plus(first(ab), second)]);
}

function plus(...terms: (Float64Array | undefined)[]): Float64Array | undefined {
  const [first, ...rest] = terms.filter((term) => term !== undefined);
  if (first === undefined || rest.length === 0) return first;
  const sum = first.slice();
  for (const term of rest) for (let i = 0; i < sum.length; i++) sum[i]! += term[i]!;
  return sum;
}

function times(p: Float64Array, q: Float64Array): Float64Array {
  const result = new Float64Array(p.length);
  for (let i = 0; i < p.length; i++) result[i] = p[i]! * q[i]!;
  return result;
}

const product = (shape: Shape) => shape.reduce((p, n) => p * n, 1);
const positive = (axis: number, shape: Shape) => (axis < 0 ? axis + shape.length : axis);
const lift = (x: HyperDual | number) => (typeof x === "number" ? HyperDual.of([], [x]) : x);

/** Row-major position of a coordinate. */
const position = (coordinate: readonly number[], shape: Shape) =>
  coordinate.reduce((p, c, axis) => p * shape[axis]! + c, 0);

const memo = new Map<string, Int32Array>();

/** A number for each coordinate of `shape`; kept by `key`, as references are evaluated once for each coordinate. */
function indices(key: string, shape: Shape, of: (coordinate: readonly number[]) => number): Int32Array {
  let known = memo.get(key);
  if (known === undefined) {
    known = new Int32Array(product(shape));
    const coordinate = new Array<number>(shape.length).fill(0);
    for (let i = 0; i < known.length; i++) {
      let rest = i;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        coordinate[axis] = rest % shape[axis]!;
        rest = Math.floor(rest / shape[axis]!);
      }
      known[i] = of(coordinate);
    }
    memo.set(key, known);
  }
  return known;
}

/** y[i] = x[source[i]] */
function take(x: HyperDual, shape: Shape, source: Int32Array): HyperDual {
  return linear(x, shape, (part) => {
    const taken = new Float64Array(source.length);
    for (let i = 0; i < taken.length; i++) taken[i] = part[source[i]!]!;
    return taken;
  });
}

function broadcastTo(x: HyperDual, shape: Shape): HyperDual {
  if (String(x.shape) === String(shape)) return x;
  const shift = shape.length - x.shape.length;
  const source = indices(`broadcast ${x.shape}|${shape}`, shape, (c) =>
    position(
      x.shape.map((n, axis) => (n === 1 ? 0 : c[axis + shift]!)),
      x.shape,
    ),
  );
  return take(x, shape, source);
}

function common(x: HyperDual, y: HyperDual): Shape {
  const rank = Math.max(x.shape.length, y.shape.length);
  const extent = ({ shape }: HyperDual, axis: number) => shape[axis - rank + shape.length] ?? 1;
  return Array.from({ length: rank }, (_, axis) => Math.max(extent(x, axis), extent(y, axis)));
}

function add(p: HyperDual | number, q: HyperDual | number): HyperDual {
  const [x, y] = [lift(p), lift(q)];
  const shape = common(x, y);
  const [s, t] = [broadcastTo(x, shape).parts, broadcastTo(y, shape).parts];
  return new HyperDual(shape, [plus(s[0], t[0])!, plus(s[1], t[1]), plus(s[2], t[2]), plus(s[3], t[3])]);
}

function mul(p: HyperDual | number, q: HyperDual | number): HyperDual {
  const [x, y] = [lift(p), lift(q)];
  const shape = common(x, y);
  return bilinear(broadcastTo(x, shape), broadcastTo(y, shape), shape, times);
}

const scale = (factor: number, x: HyperDual) =>
  linear(x, x.shape, (part) => part.map((value) => factor * value));

const reciprocal = (x: HyperDual) =>
  unary(
    x,
    (v) => 1 / v,
    (v) => -1 / v ** 2,
    (v) => 2 / v ** 3,
  );

const exp = (x: HyperDual) => unary(x, Math.exp, Math.exp, Math.exp);

const log = (x: HyperDual) =>
  unary(
    x,
    Math.log,
    (v) => 1 / v,
    (v) => -1 / v ** 2,
  );

const logistic = (v: number) => 1 / (1 + Math.exp(-v));

const square = (x: HyperDual) => mul(x, x);

function sum(x: HyperDual, axes: number | readonly number[] = x.shape.map((_, axis) => axis)): HyperDual {
  const gone = new Set([axes].flat().map((axis) => positive(axis, x.shape)));
  const shape = x.shape.filter((_, axis) => !gone.has(axis));
  const target = indices(`sum ${x.shape}|${[...gone]}`, x.shape, (c) =>
    position(
      c.filter((_, axis) => !gone.has(axis)),
      shape,
    ),
  );
  return linear(x, shape, (part) => {
    const sums = new Float64Array(product(shape));
    for (let i = 0; i < part.length; i++) sums[target[i]!]! += part[i]!;
    return sums;
  });
}

function slice(x: HyperDual, start: number, stop: number, axis = 0): HyperDual {
  const along = positive(axis, x.shape);
  const shape = x.shape.with(along, stop - start);
  const source = indices(`slice ${x.shape}|${start}:${stop}|${along}`, shape, (c) =>
    position(c.with(along, c[along]! + start), x.shape),
  );
  return take(x, shape, source);
}

function transpose(
  x: HyperDual,
  axes: readonly number[] = x.shape.map((_, axis) => axis).reverse(),
): HyperDual {
  const order = axes.map((axis) => positive(axis, x.shape));
  const shape = order.map((axis) => x.shape[axis]!);
  const source = indices(`transpose ${x.shape}|${order}`, shape, (c) =>
    position(
      x.shape.map((_, axis) => c[order.indexOf(axis)]!),
      x.shape,
    ),
  );
  return take(x, shape, source);
}

function gather(x: HyperDual, index: HyperDual): HyperDual {
  const rows = index.parts[0];
  const shape = [rows.length, ...x.shape.slice(1)];
  const source = indices(`gather ${x.shape}|${rows}`, shape, ([r, ...c]) =>
    position([rows[r!]!, ...c], x.shape),
  );
  return take(x, shape, source);
}

function matmul(a: HyperDual, b: HyperDual, options: ProductOptions<HyperDual> = {}): HyperDual {
  const left = options.transposeA ? transpose(a) : a;
  const right = options.transposeB ? transpose(b) : b;
  const [m, k] = left.shape as [number, number];
  const n = right.shape[1]!;
  const result = bilinear(left, right, [m, n], (p, q) => {
    const out = new Float64Array(m * n);
    for (let i = 0; i < m; i++) {
      for (let s = 0; s < k; s++) {
        const factor = p[i * k + s]!;
        if (factor === 0) continue;
        for (let j = 0; j < n; j++) out[i * n + j]! += factor * q[s * n + j]!;
      }
    }
    return out;
  });
  return options.bias ? add(result, options.bias) : result;
}

function reshape(x: HyperDual, shape: Shape): HyperDual {
  const known = product(shape.filter((n) => n !== -1));
  return new HyperDual(
    shape.map((n) => (n === -1 ? product(x.shape) / known : n)),
    x.parts,
  );
}

/** Windows over planes: calls `visit` with the window's number and each of its elements that lies inside. */
function eachWindow(
  [h, w]: readonly [number, number],
  [kh, kw]: readonly [number, number],
  { stride, padding }: { stride: number; padding: number },
  visit: (window: number, element: number, tap: number) => void,
): [number, number] {
  const oh = Math.floor((h + 2 * padding - kh) / stride) + 1;
  const ow = Math.floor((w + 2 * padding - kw) / stride) + 1;
  for (let i = 0; i < oh; i++) {
    for (let j = 0; j < ow; j++) {
      for (let u = 0; u < kh; u++) {
        for (let v = 0; v < kw; v++) {
          const [row, column] = [i * stride + u - padding, j * stride + v - padding];
          if (row < 0 || row >= h || column < 0 || column >= w) continue;
          visit(i * ow + j, row * w + column, u * kw + v);
        }
      }
    }
  }
  return [oh, ow];
}

function conv2d(
  x: HyperDual,
  weight: HyperDual,
  { stride = 1, padding = 0, bias }: ConvOptions<HyperDual> = {},
): HyperDual {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const [o, , kh, kw] = weight.shape as [number, number, number, number];
  const triples: [number, number, number][] = [];
  const [oh, ow] = eachWindow([h, w], [kh, kw], { stride, padding }, (...triple) => triples.push(triple));
  const result = bilinear(x, weight, [n, o, oh, ow], (p, q) => {
    const out = new Float64Array(n * o * oh * ow);
    for (let image = 0; image < n; image++) {
      for (let to = 0; to < o; to++) {
        for (let from = 0; from < c; from++) {
          const [y0, x0, w0] = [
            (image * o + to) * oh * ow,
            (image * c + from) * h * w,
            (to * c + from) * kh * kw,
          ];
          for (const [y, element, tap] of triples) out[y0 + y]! += p[x0 + element]! * q[w0 + tap]!;
        }
      }
    }
    return out;
  });
  return bias ? add(result, reshape(bias, [o, 1, 1])) : result;
}

function maxPool(x: HyperDual, { size, stride = size, padding = 0 }: PoolOptions): HyperDual {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const [values] = x.parts;
  const chosen: number[] = [];
  let shape: [number, number] = [0, 0];
  for (let plane = 0; plane < n * c; plane++) {
    const best = new Map<number, number>();
    shape = eachWindow([h, w], [size, size], { stride, padding }, (window, element) => {
      const [known, at] = [best.get(window), plane * h * w + element];
      if (known === undefined || values[at]! > values[known]!) best.set(window, at);
    });
    chosen.push(...best.values());
  }
  return linear(x, [n, c, ...shape], (part) => Float64Array.from(chosen, (at) => part[at]!));
}

function avgPool(x: HyperDual, { size, stride = size, padding = 0 }: PoolOptions): HyperDual {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const pairs: [number, number][] = [];
  const [oh, ow] = eachWindow([h, w], [size, size], { stride, padding }, (y, element) =>
    pairs.push([y, element]),
  );
  return linear(x, [n, c, oh, ow], (part) => {
    const out = new Float64Array(n * c * oh * ow);
    for (let plane = 0; plane < n * c; plane++) {
      for (const [y, element] of pairs)
        out[plane * oh * ow + y]! += part[plane * h * w + element]! / size ** 2;
    }
    return out;
  });
}

function batchNorm(
  x: HyperDual,
  { scale: factor, shift, epsilon = 1e-5 }: NormOptions<HyperDual> = {},
): HyperDual {
  const others = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const kept = x.shape.map((n, axis) => (axis === 1 ? n : 1));
  const count = product(x.shape) / x.shape[1]!;
  const average = (part: HyperDual) => reshape(scale(1 / count, sum(part, others)), kept);
  const centred = add(x, scale(-1, average(x)));
  const precision = unary(
    add(average(square(centred)), epsilon),
    (v) => v ** -0.5,
    (v) => -0.5 * v ** -1.5,
    (v) => 0.75 * v ** -2.5,
  );
  const normal = mul(mul(centred, precision), factor ? reshape(factor, kept) : 1);
  return shift ? add(normal, reshape(shift, kept)) : normal;
}

function crossEntropy(logits: HyperDual, labels: HyperDual): HyperDual {
  const [n, classes] = logits.shape as [number, number];
  const [v] = logits.parts;
  const largest = HyperDual.of(
    [n],
    Array.from({ length: n }, (_, row) => Math.max(...v.subarray(row * classes, (row + 1) * classes))),
  );
  const shifted = add(logits, broadcastTo(new HyperDual([n, 1], scale(-1, largest).parts), logits.shape));
  const hits = Int32Array.from(labels.parts[0], (label, row) => row * classes + label);
  return add(log(sum(exp(shifted), 1)), scale(-1, take(shifted, [n], hits)));
}

function squaredNorm(x: HyperDual | Readonly<Record<string, HyperDual>>): HyperDual {
  const tensors = x instanceof HyperDual ? [x] : Object.values(x);
  return tensors.map((tensor) => sum(square(tensor))).reduce((p, q) => add(p, q));
}

export const hyperDualOperations: Operations<HyperDual> = {
  add,
  sub: (a, b) => add(a, scale(-1, lift(b))),
  mul,
  div: (a, b) => mul(a, reciprocal(lift(b))),
  neg: (x) => scale(-1, x),
  scale,
  exp,
  log,
  sqrt: (x) =>
    unary(
      x,
      Math.sqrt,
      (v) => 0.5 * v ** -0.5,
      (v) => -0.25 * v ** -1.5,
    ),
  sin: (x) => unary(x, Math.sin, Math.cos, (v) => -Math.sin(v)),
  tanh: (x) =>
    unary(
      x,
      Math.tanh,
      (v) => Math.cosh(v) ** -2,
      (v) => -2 * Math.tanh(v) * Math.cosh(v) ** -2,
    ),
  sigmoid: (x) =>
    unary(
      x,
      logistic,
      (v) => logistic(v) * logistic(-v),
      (v) => logistic(v) * logistic(-v) * (logistic(-v) - logistic(v)),
    ),
  softplus: (x) =>
    unary(
      x,
      (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
      logistic,
      (v) => logistic(v) * logistic(-v),
    ),
  relu: (x) =>
    unary(
      x,
      (v) => Math.max(v, 0),
      (v) => (v > 0 ? 1 : 0),
      () => 0,
    ),
  square,
  cubic: (x) => add(mul(x, mul(x, x)), scale(-2, x)),
  sum,
  broadcastTo,
  reshape,
  slice,
  transpose,
  gather,
  matmul,
  dense: (x, weight, bias) => matmul(x, weight, { transposeB: true, bias }),
  conv2d,
  maxPool,
  avgPool,
  batchNorm,
  crossEntropy,
  squaredNorm,
};
