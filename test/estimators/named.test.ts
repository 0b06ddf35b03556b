import { expect, test } from "vitest";
import { ProblemError } from "../../src/bilevel/problem.ts";
import { cg } from "../../src/estimators/cg.ts";
import { checkpointed } from "../../src/estimators/checkpointed.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { inexactHb } from "../../src/estimators/inexact_ad.ts";
import {
  estimatorList,
  estimatorNamed,
  estimatorNames,
  labelOf,
  parametersOf,
} from "../../src/estimators/named.ts";
import { neumann } from "../../src/estimators/neumann.ts";
import { nystrom } from "../../src/estimators/nystrom.ts";
import { reversible } from "../../src/estimators/reversible.ts";
import { UsageError } from "../../src/host/errors.ts";

test.each(estimatorNames)("%s carries its name, and takes its defaults", (name) => {
  const { estimator, label } = estimatorNamed(name, {}, 20);
  expect(estimator.name).toBe(name);
  expect(label.startsWith(name)).toBe(true);
  expect(labelOf(estimator)).toBe(label);
  expect(estimator.products(20, { parameters: 5, hyperparameters: 3 })).toBeGreaterThanOrEqual(0);
  // Written out, the defaults mean the same.
  const values = parametersOf(name).map(([, value]) => value);
  if (values.includes(undefined)) return;
  expect(estimatorList([name, ...values].join(":"), 20)[0]!.label).toBe(label);
});

test("labels show names and the defaults", () => {
  const shown = estimatorNames.map((name) => estimatorNamed(name, {}, 20).label);
  const simple = ["rmd", "checkpointed", "reversible", "fmd", "t1t2", "first-order", "drmad", "rtho"];
  const others = [
    ...["krmd(5)", "greedy(0.9)", "neumann(10)", "cg(20, 1e-6)", "nystrom(10, 0.01)"],
    ...["inexact-gd(10)", "inexact-hb(10, 0.9)"],
  ];
  expect(shown.sort()).toEqual([...simple, ...others].sort());
});

test("a list gives labels with the parameters", () => {
  const labels = estimatorList(
    " rmd, krmd:3,krmd,greedy:0.5,greedy:auto,cg:7,cg:7:1e-9,checkpointed ",
    4,
  ).map(({ label }) => label);
  // The default of K is 5, and there are only four steps.
  expect(labels).toEqual([
    "rmd",
    "krmd(3)",
    "krmd(4)",
    "greedy(0.5)",
    "greedy(auto)",
    "cg(7, 1e-6)",
    "cg(7, 1e-9)",
    "checkpointed",
  ]);
});

test.each([
  [neumann({ terms: 5, step: 1 }), "neumann(5, step 1)"],
  [inexactHb({ iterations: 3, momentum: 0.5, step: 1e-6 }), "inexact-hb(3, 0.5, step 1e-6)"],
  [inexactHb({ iterations: 3, momentum: 0.5 }), "inexact-hb(3, 0.5)"],
  [cg({ warm: true }), "cg(20, 1e-6, warm)"],
  [nystrom({ rank: 4, seed: 3 }), "nystrom(4, 0.01, seed 3)"],
  [greedy({ gamma: "auto", smoothing: 0.9 }), "greedy(auto, smoothing 0.9)"],
  [greedy({ gamma: [0.9, 0.99] }), "greedy(0.9 0.99)"],
  [reversible({ range: 8 }), "reversible(range 8)"],
  [checkpointed({ every: 3 }), "checkpointed(3)"],
])("what is off its default is named: %#", (estimator, label) => {
  expect(labelOf(estimator)).toBe(label);
});

test.each([
  ["", /no estimator is named: choose from rmd\[:activations\], krmd:K\[:activations\],/],
  ["rmd,kmrd", /no estimator "kmrd": choose from rmd\[:activations\], krmd:K\[:activations\],/],
  ["toString", /no estimator "toString"/],
  ["rmd:3", /"3" is no store; write rmd\[:activations\]/],
  ["fmd:3", /fmd takes no parameter/],
  ["krmd:3:4", /"4" is no store; write krmd:K\[:activations\]/],
  ["krmd:3:activations:4", /krmd takes no more than krmd:K\[:activations\]/],
  ["rmd:states", /"states" is no store; write rmd\[:activations\]/],
  ["krmd:many", /"many" is no number; write krmd:K/],
  ["krmd:auto", /"auto" is no number; write krmd:K/],
  ["greedy:none", /"none" is no number; write greedy:GAMMA\|auto/],
  ["krmd:", /"" is no number/],
  ["krmd:0", /"krmd:0": K is 0: give a whole number > 0/],
  ["krmd:2.5", /give a whole number/],
  ["greedy:1.5", /give a number in \[0, 1\]/],
  ["krmd:30", /"krmd:30" asks for 30 inner steps of 20: give at most 20/],
])("%j is wrong usage", (list, why) => {
  expect(() => estimatorList(list, 20)).toThrow(UsageError);
  expect(() => estimatorList(list, 20)).toThrow(why);
});

test("a parameter that the estimator refuses is its own error", () => {
  expect(() => estimatorNamed("krmd", { k: 0 })).toThrow(ProblemError);
});
