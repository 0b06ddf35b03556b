import { object } from "@optique/core/constructs";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { expect, test } from "vitest";
import {
  choice,
  nonNegativeNumber,
  path,
  positiveInteger,
  probability,
  readArguments,
  seed,
  svgPath,
} from "../../src/host/arguments.ts";

const parser = object({
  steps: withDefault(option("--steps", positiveInteger()), 20),
  lr: withDefault(option("--lr", nonNegativeNumber()), 0.1),
  noise: withDefault(option("--noise", probability()), 0.5),
  seed: withDefault(option("--seed", seed()), 0),
  estimator: withDefault(option("--estimator", choice(["rmd", "krmd", "greedy"])), "krmd"),
  out: withDefault(option("--out", path("DIR")), "out"),
  figure: withDefault(option("--figure", svgPath()), "toy.svg"),
  json: option("--json"),
});
const read = (...argv: string[]) => readArguments("script", parser, argv, "Does it.");

test("defaults and values", () => {
  const defaults = {
    steps: 20,
    lr: 0.1,
    noise: 0.5,
    seed: 0,
    estimator: "krmd",
    out: "out",
    figure: "toy.svg",
    json: false,
  };
  expect(read()).toEqual({ value: defaults });
  expect(
    read("--steps=5", "--lr", "1e-3", "--noise", "1", "--seed", "4294967295", "--estimator", "rmd", "--json"),
  ).toEqual({
    value: { ...defaults, steps: 5, lr: 1e-3, noise: 1, seed: 4294967295, estimator: "rmd", json: true },
  });
  for (const figure of ["deep.er/x.SVG", "/dev/stdout", "plain"])
    expect(read("--figure", figure)).toEqual({ value: { ...defaults, figure } });
});

test.each([
  [["--step", "5"], /"--step"[\s\S]*`--steps`/],
  [["--steps", "0"], /--steps.*1/],
  [["--steps", "2.5"], /--steps.*integer/],
  [["--steps"], /--steps.*requires/],
  [["--lr=-1"], /--lr.*0/],
  [["--lr", "Infinity"], /--lr.*number/],
  [["--noise", "1.5"], /--noise.*1/],
  [["--seed=-1"], /--seed.*0/],
  [["--seed", "4294967296"], /--seed.*less than/],
  [["--estimator", "greedi"], /--estimator[\s\S]*greedy/],
  [["--out", ""], /--out.*empty: name a path/],
  [["--out="], /--out.*empty: name a path/],
  [["--figure", "x.pdf"], /--figure.*ends in \.svg/],
  [["--figure", ""], /--figure.*ends in \.svg/],
  [["--json", "--json"], /--json.*multiple/],
  [["stray"], /"stray"/],
])("%j is refused", (argv, message) => {
  expect(read(...argv)).toEqual({ error: expect.stringMatching(message) });
});

test("help names every flag with its default", () => {
  const { help } = read("--help") as { help: string };
  expect(help).toMatch(/^Does it\./);
  for (const text of ["--steps N", "20", "--estimator NAME", "rmd, krmd, greedy"])
    expect(help).toContain(text);
  expect(read("-h")).toEqual({ help });
});
