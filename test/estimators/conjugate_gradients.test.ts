import { describe, expect, test } from "vitest";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { type CgOptions, cg } from "../../src/estimators/cg.ts";
import { neumann } from "../../src/estimators/neumann.ts";
import { square } from "../../src/graph/operations/elementwise.ts";
import { scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { perLane, values, zeros } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { norm, numbers, relativeError } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";
import {
  diagonal,
  linearSystem,
  type Matrix,
  normals,
  plus,
  product,
  solve,
  spread,
  withEigenvalues,
} from "./dense.ts";

const table: string[] = [];
const gpu = withGpu((adapter) =>
  [`conjugate gradients, with what their log says, on ${adapter}`, ...table].join("\n"),
);

async function prepare(problem: Problem<"w", "alpha">, options: CgOptions) {
  return await OuterLoop.prepare(problem, { gpu: gpu(), estimator: cg(options) });
}

/** q and how the solve ended, from where the loop stands. */
async function solved(loop: OuterLoop<"w", "alpha">, restart = true) {
  const [entry] = await loop.step({ restart });
  return { q: numbers(await loop.hypergradient()), solves: entry!.solves!, solve: entry!.solves![0]! };
}

async function once(problem: Problem<"w", "alpha">, options: CgOptions = {}) {
  const loop = await prepare(problem, options);
  const found = await solved(loop);
  loop.destroy();
  return found;
}

const random = new Random(21);

test.each([1, 3, 40])(
  "2I is solved in one iteration, by the iterate of that iteration, P = %d",
  async (size) => {
    const g = normals(random, size);
    const { q, solve } = await once(linearSystem(diagonal(g.map(() => 2)), g), { iterations: 5 });
    expect(solve).toEqual({ status: "converged", iterations: 1, residual: 0 });
    expect(q).toEqual(g.map((value) => value / 2));
    // With no iteration to spare as well.
    const tight = await once(linearSystem(diagonal(g.map(() => 2)), g), { iterations: 1 });
    expect(tight).toMatchObject({ q, solve });
  },
);

test.each([1, 2, 3, 5, 8])("%d distinct eigenvalues take as many iterations", async (distinct) => {
  for (const size of [distinct, 24]) {
    const eigenvalues = Array.from({ length: size }, (_, i) => 1 + 0.5 * (i % distinct));
    // Of one size, so that no eigenvector counts too little.
    const g = eigenvalues.map((_, i) => (i % 2 === 0 ? 1 : -1) * (1 + 0.01 * i));
    const options = { iterations: distinct + 5, tolerance: 1e-5 };
    const { q, solve } = await once(linearSystem(diagonal(eigenvalues), g), options);
    expect(solve.status).toBe("converged");
    expect(solve.iterations).toBe(distinct);
    expect(
      relativeError(
        q,
        g.map((value, i) => value / eigenvalues[i]!),
      ),
    ).toBeLessThan(3e-5);
  }
});

test("20,000 unknowns, whose sums come in parts, and two lanes", async () => {
  const size = 20_000;
  const eigenvalues = Float32Array.from({ length: size }, (_, i) => 1 + (i % 3));
  const g = normals(random, 2 * size);
  const problem = bilevel({
    parameters: { w: perLane(values(g, [2, size])) },
    hyper: { alpha: perLane(zeros([2, size])) },
    lanes: 2,
    inner: {
      data: { d: values(eigenvalues, [size]) },
      loss: ({ w }, { alpha }, { d }) => sub(scale(0.5, sum(mul(d!, square(w)))), sum(mul(w, alpha))),
      steps: 1,
      optimizer: sgd({ lr: 0 }),
    },
    outer: { loss: ({ w }) => scale(0.5, squaredNorm(w)) },
  });
  const { q, solves } = await once(problem, { iterations: 8, tolerance: 1e-5 });
  expect(solves.map(({ status, iterations }) => [status, iterations])).toEqual(
    new Array(2).fill(["converged", 3]),
  );
  const exact = g.map((value, i) => value / eigenvalues[i % size]!);
  expect(relativeError(q, exact)).toBeLessThan(3e-5);
});

test("scaling either loss by a power of two scales q, and changes neither iterations nor residual", async () => {
  const a = withEigenvalues(random, spread(20, 0.2, 5));
  const g = normals(random, 20);
  const options = { iterations: 50, tolerance: 1e-4 };
  const plain = await once(linearSystem(a, g), options);
  expect(plain.solve.status).toBe("converged");
  for (const [inner, outer] of [
    [2 ** 10, 1],
    [2 ** -10, 1],
    [1, 2 ** 12],
    [1, 2 ** -12],
    [2 ** 6, 2 ** -9],
  ] as const) {
    const { q, solve } = await once(linearSystem(a, g, { inner, outer }), options);
    expect(solve).toEqual(plain.solve);
    // The answer to s A q = r g is scaled by r / s, and the mixed product multiplies by s again.
    expect(q).toEqual(plain.q.map((value) => outer * value));
  }
  table.push(`  scale invariant from 2^-12 to 2^12, ${plain.solve.iterations} iterations each`);
});

describe("status", () => {
  const g = [1, -2, 0.5, 1.5];
  const a = withEigenvalues(random, [0.5, 1, 2, 4]);
  const truth = solve(a, g);

  test("converged: what comes after changes nothing", async () => {
    const short = await once(linearSystem(a, g), { iterations: 6, tolerance: 1e-4 });
    const long = await once(linearSystem(a, g), { iterations: 30, tolerance: 1e-4 });
    expect(short.solve.status).toBe("converged");
    expect(short.solve.residual).toBeLessThanOrEqual(1e-4);
    expect(long).toEqual(short);
  });

  test("out of iterations: with the iterate and residual so far", async () => {
    let q = [0, 0, 0, 0];
    let [r, d] = [g, g];
    for (let iterations = 1; iterations <= 3; iterations++) {
      const ad = product(a, d);
      const step = norm(r) ** 2 / d.reduce((sum, value, i) => sum + value * ad[i]!, 0);
      q = plus(q, step, d);
      const next = plus(r, -step, ad);
      d = plus(next, (norm(next) / norm(r)) ** 2, d);
      r = next;
      const found = await once(linearSystem(a, g), { iterations, tolerance: 1e-12 });
      expect(found.solve.status).toBe("out of iterations");
      expect(found.solve.iterations).toBe(iterations);
      expect(relativeError(found.q, q)).toBeLessThan(2e-6);
      expect(found.solve.residual / (norm(r) / norm(g))).toBeCloseTo(1, 4);
    }
  });

  test("negative curvature: at once, with q = 0, or later, with the iterate before", async () => {
    const first = await once(linearSystem(diagonal([-1, -1, -1, -1]), g));
    expect(first).toMatchObject({ q: [0, 0, 0, 0], solve: { status: "negative curvature", iterations: 0 } });
    expect(first.solve.residual).toBe(1);
    const flat = await once(linearSystem(diagonal([0, 0, 0, 0]), g));
    expect(flat.solve).toEqual({ status: "negative curvature", iterations: 0, residual: 1 });

    const entries = [3, 2, 1, -0.5];
    const indefinite = diagonal(entries);
    const right = [1, 1, 1, 0.5];
    const later = await once(linearSystem(indefinite, right), { iterations: 20 });
    expect(later.solve.status).toBe("negative curvature");
    expect(later.solve.iterations).toBeGreaterThan(0);
    const { iterations } = later.solve;
    const before = await once(linearSystem(indefinite, right), { iterations, tolerance: 1e-12 });
    expect(before.solve.status).toBe("out of iterations");
    expect(later.q).toEqual(before.q);
    const residual = norm(plus(right, -1, product(indefinite, later.q))) / norm(right);
    expect(later.solve.residual).toBeCloseTo(residual, 4);
  });

  test("zero right-hand side: q = 0, also after a warm start from another q", async () => {
    const nothing = [0, 0, 0, 0];
    const zero = { status: "zero right-hand side", iterations: 0, residual: 0 } as const;
    const cold = await once(linearSystem(a, nothing));
    expect(cold).toMatchObject({ q: nothing, solve: zero });

    const loop = await prepare(linearSystem(a, g), { iterations: 10, tolerance: 1e-5, warm: true });
    expect(relativeError((await solved(loop)).q, truth)).toBeLessThan(1e-4);
    loop.setParameters({ w: values(nothing, [4, 1]) });
    expect(await solved(loop, false)).toMatchObject({ q: nothing, solve: zero });
    // And back again.
    loop.setParameters({ w: values(g, [4, 1]) });
    const again = await solved(loop, false);
    expect(again.solve.status).toBe("converged");
    expect(relativeError(again.q, truth)).toBeLessThan(1e-4);
    loop.destroy();
  });

  test("each lane has its own", async () => {
    const indefinite = diagonal([1, 1, -1]);
    const loop = await prepare(linearSystem(indefinite, [1, 0, 0], { lanes: 4 }), { iterations: 2 });
    const lanes = [
      [1, 1, 0],
      [0, 0, 0],
      [0, 0, 1],
      [2, 0, 1],
    ];
    await solved(loop);
    loop.setParameters({ w: values(lanes.flat(), [4, 3, 1]) });
    const { solves, q } = await solved(loop, false);
    expect(solves.map(({ status }) => status)).toEqual([
      "converged",
      "zero right-hand side",
      "negative curvature",
      "negative curvature",
    ]);
    // The last one meets it in its second direction.
    expect(solves.map(({ iterations }) => iterations)).toEqual([1, 0, 0, 1]);
    const last = plus([0, 0, 0], 5 / 3, [2, 0, 1]);
    expect(relativeError(q, plus([0.25, 0.25, 0], 0.25, last))).toBeLessThan(1e-6);
    loop.destroy();
  });

  test("of every outer step, however many of them one readback brings", async () => {
    const options = { gpu: gpu(), estimator: cg({ iterations: 4, tolerance: 1e-5 }), every: 3 };
    const loop = await OuterLoop.prepare(linearSystem(a, g, { lanes: 2 }), options);
    const steps: { w: number[]; status: string }[] = [
      { w: g, status: "converged" },
      { w: [0, 0, 0, 0], status: "zero right-hand side" },
      { w: [1, 1, 1, 1], status: "converged" },
      { w: [0, 0, 0, 0], status: "zero right-hand side" },
    ];
    const entries = [];
    for (const [index, { w }] of steps.entries()) {
      if (index > 0) loop.setParameters({ w: values(w, [4, 1]) });
      entries.push(...(await loop.step({ restart: index === 0, news: index === steps.length - 1 })));
    }
    expect(entries.map(({ solves }) => solves!.map(({ status }) => status))).toEqual(
      steps.map(({ status }) => [status, status]),
    );
    loop.destroy();
  });
});

describe("warm start", () => {
  test("after a small move of g it takes fewer iterations, to the same answer", async () => {
    const a = withEigenvalues(random, spread(40, 0.05, 5));
    const g = normals(random, 40);
    const moved = g.map((value, i) => Math.fround(value * (1 + 1e-3 * Math.sin(i))));
    const counts: number[] = [];
    for (const warm of [false, true]) {
      const loop = await prepare(linearSystem(a, g), { iterations: 80, tolerance: 1e-4, warm });
      const first = await solved(loop);
      expect(first.solve.status).toBe("converged");
      loop.setParameters({ w: values(moved, [40, 1]) });
      const second = await solved(loop, false);
      expect(second.solve.status).toBe("converged");
      expect(relativeError(second.q, solve(a, moved))).toBeLessThan(5e-3);
      counts.push(second.solve.iterations);
      // At the same place again nothing is left to do.
      const third = await solved(loop, false);
      if (warm) expect(third.solve).toMatchObject({ status: "converged", iterations: 0 });
      loop.destroy();
    }
    const [cold, warm] = counts as [number, number];
    expect(warm).toBeLessThan(cold);
    table.push(`  after a move of 1e-3: ${cold} iterations from zero, ${warm} from the last answer`);
  });

  test("the first of all starts from zero", async () => {
    const a = withEigenvalues(random, [1, 2, 3]);
    const g = [1, 2, 3];
    const options = { iterations: 10, tolerance: 1e-5 };
    const [cold, warm] = [
      await once(linearSystem(a, g), options),
      await once(linearSystem(a, g), { ...options, warm: true }),
    ];
    expect(warm).toEqual(cold);
  });
});

test("the residual reported is that of the answer", async () => {
  const systems: Matrix[] = [10, 100].map((size) => withEigenvalues(random, spread(size, 0.5, 5)));
  for (const a of systems) {
    const g = normals(random, a.length);
    for (const tolerance of [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]) {
      const { q, solve } = await once(linearSystem(a, g), { iterations: 40, tolerance });
      expect(solve.status).toBe("converged");
      expect(solve.residual).toBeLessThanOrEqual(tolerance);
      const residual = norm(plus(g, -1, product(a, q))) / norm(g);
      // The recurrence drifts from it by a few roundings.
      expect(Math.abs(solve.residual - residual)).toBeLessThan(2e-6);
    }
  }
});

test("no other estimator speaks of solves", async () => {
  const estimator = neumann({ terms: 2, step: 0.1 });
  const loop = await OuterLoop.prepare(linearSystem([[2]], [1]), { gpu: gpu(), estimator });
  const [entry] = await loop.step({ restart: true });
  expect(entry).not.toHaveProperty("solves");
  loop.destroy();
});
