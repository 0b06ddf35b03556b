import { assertKnown } from "../gpu/known.ts";
import { perLane, type Values, values } from "../graph/values.ts";
import type { Random } from "../random.ts";
import { type Dataset, imageSize } from "./dataset.ts";

export interface TaskOptions {
  /** Classes in a task. */
  ways: number;
  /** Training (support) examples of each class. */
  shots: number;
  /** Query examples of each class, none of them a training example of the same task. */
  queries: number;
  /** The classes to draw from. @default all */
  classes?: ArrayLike<number>;
}

/** Images [n × channels × rows × columns] and labels [n], from 0 to ways - 1; of a meta-batch with the lane in front. */
export type TaskPart = { readonly x: Values; readonly y: Values };

/** A few-shot classification task: learn from `train`, be judged on `query`. Examples are sorted by label. */
export interface Task {
  readonly train: TaskPart;
  readonly query: TaskPart;
}

/**
 * Draws few-shot tasks from a labelled set: `ways` distinct classes in random order, of each `shots + queries`
 * distinct examples. What is drawn depends on the generator alone, so `sample(random.fork(step))` gives the
 * same task at a step whatever came before.
 */
export class TaskSampler {
  private readonly dataset: Dataset;
  private readonly options: TaskOptions;
  /** The numbers of the examples of each class to draw from. */
  private readonly members: readonly (readonly number[])[];

  /**
   * @throws RangeError for counts that are no whole numbers, or when there are too few classes or examples; ProblemError
   * for options that there are not
   */
  constructor(dataset: Dataset, options: TaskOptions) {
    assertKnown("TaskSampler", options, { ways: true, shots: true, queries: true, classes: true });
    const { ways, shots, queries } = options;
    for (const [name, value, least] of [
      ["ways", ways, 2],
      ["shots", shots, 1],
      ["queries", queries, 1],
    ] as const) {
      if (Number.isInteger(value) && value >= least) continue;
      throw new RangeError(`${name} of a task must be a whole number, at least ${least}, got ${value}`);
    }
    const all = membersOf(dataset);
    const classes = Array.from(options.classes ?? all.keys());
    const missing = classes.find((c) => !all[c]);
    if (missing !== undefined) {
      throw new RangeError(`${dataset.name} has no class ${missing}: it has ${dataset.classes}`);
    }
    if (new Set(classes).size !== classes.length) throw new RangeError("a class stands twice in `classes`");
    if (classes.length < ways) {
      throw new RangeError(
        `${ways}-way tasks need ${ways} classes, there are ${classes.length}: ask for fewer`,
      );
    }
    const small = classes.find((c) => all[c]!.length < shots + queries);
    if (small !== undefined) {
      throw new RangeError(
        `class ${dataset.classNames?.[small] ?? small} of ${dataset.name} has ${all[small]!.length} examples, ` +
          `${shots} shots and ${queries} queries need ${shots + queries}: ask for fewer`,
      );
    }
    this.dataset = dataset;
    this.options = options;
    this.members = classes.map((c) => all[c]!);
  }

  sample(random: Random): Task {
    return this.draw([], random);
  }

  /** Tasks side by side, one a lane: every array is `perLane`, [lanes × …]. */
  batch(lanes: number, random: Random): Task {
    const { train, query } = this.draw([lanes], random);
    const laned = ({ x, y }: TaskPart): TaskPart => ({ x: perLane(x), y: perLane(y) });
    return { train: laned(train), query: laned(query) };
  }

  private draw(lanes: readonly number[], random: Random): Task {
    const { ways, shots, queries } = this.options;
    const train = new Drawn(this.dataset, lanes, ways * shots);
    const query = new Drawn(this.dataset, lanes, ways * queries);
    for (let lane = 0; lane < (lanes[0] ?? 1); lane++) {
      const chosen = random.permutation(this.members.length).subarray(0, ways);
      chosen.forEach((position, label) => {
        const members = this.members[position]!;
        const order = random.permutation(members.length);
        for (let i = 0; i < shots; i++) train.add(members[order[i]!]!, label);
        for (let i = shots; i < shots + queries; i++) query.add(members[order[i]!]!, label);
      });
    }
    return { train: train.part(), query: query.part() };
  }
}

/** Examples copied one after the other. */
class Drawn {
  private readonly dataset: Dataset;
  private readonly shape: readonly number[];
  private readonly images: Float32Array;
  private readonly labels: Int32Array;
  private filled = 0;

  constructor(dataset: Dataset, lanes: readonly number[], examples: number) {
    const count = (lanes[0] ?? 1) * examples;
    this.dataset = dataset;
    this.shape = [...lanes, examples];
    this.images = new Float32Array(count * imageSize(dataset));
    this.labels = new Int32Array(count);
  }

  add(example: number, label: number): void {
    const size = imageSize(this.dataset);
    const from = example * size;
    this.images.set(this.dataset.images.subarray(from, from + size), this.filled * size);
    this.labels[this.filled++] = label;
  }

  part(): TaskPart {
    const { channels, rows, columns } = this.dataset;
    return {
      x: values(this.images, [...this.shape, channels, rows, columns]),
      y: values(this.labels, this.shape),
    };
  }
}

function membersOf({ labels, classes }: Dataset): number[][] {
  const members: number[][] = Array.from({ length: classes }, () => []);
  labels.forEach((label, example) => {
    members[label]!.push(example);
  });
  return members;
}

/**
 * Splits the classes of a set at random, so that tasks of the two parts share none. The turns of a character
 * stay together.
 * @param part of the characters for meta-validation, from 0 to 1, rounded to a whole number of them
 */
export function splitClasses(
  { classes, turns = 1 }: Pick<Dataset, "classes" | "turns">,
  part: number,
  random: Random,
): { train: Int32Array; validation: Int32Array } {
  if (!(part >= 0 && part <= 1))
    throw new RangeError(`the part of the classes must be from 0 to 1, got ${part}`);
  const characters = classes / turns;
  const order = random.permutation(characters);
  const held = Math.round(part * characters);
  const turned = (chosen: Uint32Array): Int32Array =>
    Int32Array.from({ length: turns * chosen.length }, (_, i) => {
      const turn = Math.floor(i / chosen.length);
      return chosen[i % chosen.length]! + turn * characters;
    }).sort();
  return { train: turned(order.subarray(held)), validation: turned(order.subarray(0, held)) };
}
