/** Few-shot classification of characters, as several scripts have it: where tasks come from, and the network. */
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { integer, string } from "@optique/core/valueparser";
import { choice, path, positiveInteger, probability } from "../../src/host/arguments.ts";
import {
  type ConvLayer,
  characters,
  convNet,
  type Dataset,
  loadOmniglot,
  type Model,
  Random,
  readFile,
  splitClasses,
  type Task,
  type TaskData,
  type TaskOptions,
  TaskSampler,
} from "../../src/index.ts";
import { firstWeights, initialFlag } from "./flags.ts";
import type { Tasks } from "./meta_learning.ts";
import { refusing } from "./refusing.ts";

export interface FewShotDefaults {
  readonly ways: number;
  readonly queries: number;
  /** Of the convolutions, with commas between. */
  readonly strides: string;
  readonly channels: number;
  readonly size: number;
  readonly norm: "batch" | "none";
}

/** Where tasks come from, what they are, and the network that learns them. */
export const fewShotFlags = (defaults: FewShotDefaults) => ({
  data: optional(
    option("--data", path("DIR"), {
      description: message`folder of Omniglot's zip archives, or the folder above it; without it, generated characters`,
    }),
  ),
  part: optional(
    option("--part", choice(["background", "evaluation"]), {
      description: message`with --data: which archive [background: 964 characters]`,
    }),
  ),
  rotations: option("--rotations", {
    description: message`with --data: the quarter turns of a character are characters of their own`,
  }),
  characters: optional(
    option("--characters", positiveInteger("N"), {
      description: message`without --data: so many are generated [200], 20 drawings of each`,
    }),
  ),
  size: withDefault(
    option("--size", integer({ min: 8, max: 105, metavar: "PIXELS" }), {
      description: message`height and width of the images`,
    }),
    defaults.size,
  ),
  heldOut: withDefault(
    option("--held-out", probability("PART"), {
      description: message`this part of the characters is kept for meta-validation, from 0 to 1`,
    }),
    0.2,
  ),
  ways: withDefault(
    option("--ways", integer({ min: 2, metavar: "N" }), { description: message`characters of a task` }),
    defaults.ways,
  ),
  shots: withDefault(
    option("--shots", positiveInteger("N"), { description: message`drawings of each to learn from` }),
    1,
  ),
  queries: withDefault(
    option("--queries", positiveInteger("N"), { description: message`drawings of each to be judged on` }),
    defaults.queries,
  ),
  strides: withDefault(
    option("--strides", string({ metavar: "LIST" }), {
      description: message`a convolution by 3×3 for each of these strides, with commas between; a dense layer follows`,
    }),
    defaults.strides,
  ),
  pools: optional(
    option("--pools", string({ metavar: "LIST" }), {
      description: message`sides of the windows of a max-pool after each convolution; 1 is none [none anywhere]`,
    }),
  ),
  channels: withDefault(
    option("--channels", positiveInteger("N"), { description: message`of each convolution` }),
    defaults.channels,
  ),
  ...initialFlag(),
  norm: withDefault(
    option("--norm", choice(["batch", "none"]), {
      description: message`batch: each convolution's channels are normalized over the images at hand`,
    }),
    defaults.norm,
  ),
});

export interface FewShotOptions extends Pick<TaskOptions, "ways" | "shots" | "queries"> {
  readonly data?: string | undefined;
  readonly part?: "background" | "evaluation" | undefined;
  readonly rotations: boolean;
  readonly characters?: number | undefined;
  readonly size: number;
  readonly heldOut: number;
  readonly strides: string;
  readonly pools?: string | undefined;
  readonly channels: number;
  readonly initial: keyof typeof firstWeights;
  readonly norm: "batch" | "none";
  /** Of an outer step. */
  readonly tasks: number;
}

/** What is wrong with flags that are right one by one, if anything. */
export function checkFewShot({ data, part, rotations, characters, strides, pools }: FewShotOptions) {
  if (data === undefined && part !== undefined) return `--part ${part} needs --data DIR`;
  if (data === undefined && rotations) return "--rotations needs --data DIR";
  if (data !== undefined && characters !== undefined)
    return "--characters are generated: give it without --data";
  const layers = numbersOf(strides)?.length;
  if (layers === undefined)
    return `--strides ${strides}: give whole numbers with commas between, such as 2,1,2`;
  return pools !== undefined && numbersOf(pools)?.length !== layers
    ? `--pools ${pools}: give a whole number for each of the ${layers} convolutions of --strides, with commas between`
    : undefined;
}

/** Whole numbers > 0 with commas between; undefined for anything else. */
export function numbersOf(list: string): number[] | undefined {
  return /^[1-9]\d*(,[1-9]\d*)*$/.test(list) ? list.split(",").map(Number) : undefined;
}

/** @throws DataError for an archive that is missing or damaged; UsageError for too many characters */
export async function loadCharacters({
  data,
  part = "background",
  rotations,
  characters: classes = 200,
  size,
}: FewShotOptions): Promise<Dataset> {
  return data === undefined
    ? refusing("--characters", () => characters({ classes, size, seed: 0 }))
    : await loadOmniglot(readFile, data, part, { size, rotations });
}

/**
 * Tasks of `options.tasks` lanes, with `x` and `y` to learn from and to be judged on. A seed draws the characters that
 * are held out, and the tasks. @throws UsageError where there are too few characters or drawings for such tasks
 */
export function characterTasks(dataset: Dataset, options: FewShotOptions, seed: number): Tasks {
  const { ways, shots, queries, heldOut, tasks } = options;
  const random = new Random(seed).fork("tasks");
  const classes = splitClasses(dataset, heldOut, random.fork("characters"));
  const stream = (part: keyof typeof classes): ((number: number) => TaskData) => {
    const sampler = refusing(
      `the ${part === "train" ? "training" : "held-out"} tasks`,
      () => new TaskSampler(dataset, { ways, shots, queries, classes: classes[part] }),
    );
    const draws = random.fork(part);
    return (number) => levels(sampler.batch(tasks, draws.fork(number)));
  };
  return { training: stream("train"), heldOut: stream("validation") };
}

function levels({ train, query }: Task): TaskData {
  return { inner: { ...train }, outer: { ...query } };
}

/** The network of the flags, with first values by seed. */
export function networkOf(
  { channels, rows, columns }: Dataset,
  { strides, pools, channels: width, ways, norm, initial }: FewShotOptions,
  seed: number,
): Model<string> {
  const sides = pools === undefined ? [] : numbersOf(pools)!;
  const layers = numbersOf(strides)!.map(
    (stride, k): ConvLayer => ({ channels: width, stride, pool: sides[k] ?? 1 }),
  );
  return convNet({
    image: [channels, rows, columns],
    layers,
    classes: ways,
    norm: norm === "batch",
    initial: firstWeights[initial],
    seed,
  });
}

/** "characters: 160 to learn from and 40 held out; 5-way 1-shot tasks, 10 queries a character" */
export function tasksNote(dataset: Dataset, { ways, shots, queries, heldOut }: FewShotOptions): string {
  const { name, classes, turns = 1 } = dataset;
  const kept = turns * Math.round((heldOut * classes) / turns);
  return `${name}: ${classes - kept} characters to learn from and ${kept} held out; ${ways}-way ${shots}-shot tasks, ${queries} queries a character`;
}

/** "4 convolutions of 8 channels, strides 2,1,2,1, with batch normalization" */
export function networkNote({ strides, pools, channels, norm }: FewShotOptions): string {
  const layers = strides.split(",").length;
  const pooled = pools === undefined ? "" : `, max-pools ${pools}`;
  return `${layers} convolutions of ${channels} channels, strides ${strides}${pooled}, ${norm === "batch" ? "with batch" : "without"} normalization`;
}
