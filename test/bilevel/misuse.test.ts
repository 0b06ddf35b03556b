import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import { box, simplex } from "../../src/bilevel/constraint.ts";
import { hypergradient, optimize } from "../../src/bilevel/optimize.ts";
import { adam, gradientDescent } from "../../src/bilevel/outer_optimizer.ts";
import { type Problem, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { checkGradient } from "../../src/diagnostics/check_gradient.ts";
import { compare } from "../../src/diagnostics/compare.ts";
import { curvature } from "../../src/diagnostics/curvature.ts";
import { implicitConstants } from "../../src/diagnostics/implicit_bound.ts";
import { krmdConstants } from "../../src/diagnostics/krmd_bound.ts";
import { cg } from "../../src/estimators/cg.ts";
import { checkpointed } from "../../src/estimators/checkpointed.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { inexactGd, inexactHb } from "../../src/estimators/inexact_ad.ts";
import { krmd, rmd } from "../../src/estimators/krmd.ts";
import { neumann } from "../../src/estimators/neumann.ts";
import { nystrom } from "../../src/estimators/nystrom.ts";
import { reversible } from "../../src/estimators/reversible.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { zeros } from "../../src/graph/values.ts";
import { hoag } from "../../src/outer/hoag.ts";
import { withGpu } from "../support/gpu.ts";
import { problem, quadratic } from "./problems.ts";

const gpu = withGpu(
  (adapter) => `options that there are not, and calls without a problem or a device, on ${adapter}`,
);

const one = { parameters: { w: zeros([3]) } };

/** Options as JavaScript may give them. */
const wrong = (options?: unknown) => options as never;

test.each<[string, () => unknown]>([
  ['sgd takes no "momemtum"; there are lr, momentum, nesterov', () => sgd(wrong({ lr: 0.1, momemtum: 0.9 }))],
  ["sgd takes { lr, momentum, nesterov, weightDecay }, not the number 0.1", () => sgd(wrong(0.1))],
  ['adamW takes no "beta"; there are lr, beta1', () => adamW(wrong({ lr: 0.1, beta: 0.9 }))],
  ['adam takes no "eps"; there are lr, beta1, beta2, epsilon', () => adam(wrong({ lr: 0.1, eps: 1 }))],
  ["adam takes { lr, beta1, beta2, epsilon }, not undefined", () => adam(wrong())],
  ['gradientDescent takes no "momentum"; there are lr', () => gradientDescent(wrong({ lr: 1, momentum: 0 }))],
  ['box takes no "min"; there are lower, upper', () => box(wrong({ min: 0 }))],
  ['simplex takes no "sum"; there are total, axis', () => simplex(wrong({ sum: 1 }))],
  ["krmd takes { k, store }, not undefined", () => krmd(wrong())],
  ['krmd takes no "K"; there are k, store', () => krmd(wrong({ K: 5 }))],
  ['rmd takes no "k"; there are store', () => rmd(wrong({ k: 5 }))],
  ["greedy takes { gamma, smoothing }, not the number 0.9", () => greedy(wrong(0.9))],
  ['checkpointed takes no "each"; there are every', () => checkpointed(wrong({ each: 3 }))],
  ['reversible takes no "rnage"; there are range', () => reversible(wrong({ rnage: 8 }))],
  ['cg takes no "steps"; there are iterations', () => cg(wrong({ steps: 8 }))],
  ['neumann takes no "n"; there are terms, step', () => neumann(wrong({ n: 8 }))],
  ['nystrom takes no "k"; there are rank, rho, seed', () => nystrom(wrong({ k: 8 }))],
  ['inexactGd takes no "momentum"; there are iter', () => inexactGd(wrong({ iterations: 2, momentum: 0 }))],
  ['inexactHb takes no "beta"; there are iterations', () => inexactHb(wrong({ iterations: 2, beta: 0.9 }))],
])("%s", (message, make) => {
  expect(make).toThrow(ProblemError);
  expect(make).toThrow(message);
});

describe("no problem or no device", () => {
  const stated = () => problem(quadratic);
  const runs = (problem: unknown, device: unknown) => {
    const estimator = rmd();
    const options = { gpu: device as Gpu };
    return [
      hypergradient(problem as Problem, { ...options, estimator }),
      optimize(problem as Problem, { ...options, estimator, optimizer: adam({ lr: 1 }), steps: 1 }).next(),
      hoag(problem as Problem, { ...options, steps: 1 }).next(),
      compare(problem as Problem, { ...options, estimators: [estimator] }),
      checkGradient(problem as Problem, options),
      curvature(problem as Problem, options),
    ];
  };

  test("a problem that bilevel() has not made", async () => {
    for (const run of runs(quadratic.losses(), gpu())) {
      await expect(run).rejects.toThrow(ProblemError);
      await expect(run).rejects.toThrow("the problem is an object: give what bilevel({ … }) returns");
    }
  });

  test.each([
    [undefined, /^gpu is undefined: write const gpu = await Gpu\.open\(\)/],
    [Promise.resolve(), /^gpu is a promise: write const gpu = await Gpu\.open\(\)/],
  ])("%s for a device", async (device, message) => {
    const all = [
      ...runs(stated(), device),
      differentiate(device as never, { ...one, loss: ({ w }) => squaredNorm(w) }),
    ];
    for (const run of all) {
      await expect(run).rejects.toThrow(ProblemError);
      await expect(run).rejects.toThrow(message);
    }
  });
});

describe("options that there are not, beside a problem", () => {
  const refused = async (run: Promise<unknown>, message: string) => {
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(message);
  };
  const given = (options: object) => ({ gpu: gpu(), ...options }) as never;

  test("of what runs on it", async () => {
    const stated = problem(quadratic);
    await refused(
      optimize(stated, given({ everry: 3 })).next(),
      'optimize takes no "everry"; there are gpu, est',
    );
    await refused(
      hypergradient(stated, given({ steps: 3 })),
      'hypergradient takes no "steps"; there are gpu, est',
    );
    await refused(
      hoag(stated, given({ tol: 0.1 })).next(),
      'hoag takes no "tol"; there are gpu, steps, tolerance',
    );
    await refused(
      compare(stated, given({ repeat: 3 })),
      'compare takes no "repeat"; there are gpu, estimators',
    );
    await refused(checkGradient(stated, given({ tolerance: 3 })), 'checkGradient takes no "tolerance"');
    await refused(krmdConstants(stated, given({ k: 3 })), 'krmdConstants takes no "k"; there are steps');
    await refused(implicitConstants(stated, given({ at: {} })), 'implicitConstants takes no "at"');
    await refused(
      curvature(stated, given({ iterations: 3 })),
      'curvature takes no "iterations"; there are steps',
    );
    await refused(
      curvature(stated, given({ at: { params: {} } })),
      'at takes no "params"; there are parameters, hyper',
    );
    await refused(differentiate(gpu(), { ...one, lane: 2 } as never), 'differentiate takes no "lane"');
  });

  test("estimators that are none", async () => {
    const compared = (estimators: unknown) => compare(problem(quadratic), given({ estimators }));
    await refused(compared(["rmd"]), 'estimator is the text "rmd": give one such as rmd()');
    await refused(compared({ exact: "rmd" }), 'estimator is the text "rmd"');
    await refused(compared([{ label: "exact", estimator: rmd }]), "estimator is a function");
    await refused(compared(undefined), "estimators is undefined: give a list such as [krmd({ k: 5 }), cg()]");
  });
});
