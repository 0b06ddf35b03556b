import { type Dataset, imageSize } from "../../src/data/dataset.ts";
import { type Task, type TaskOptions, TaskSampler } from "../../src/data/tasks.ts";
import { Random } from "../../src/random.ts";

const TASKS = 100;

/** The part of the query images that lie closest, in pixel space, to the mean training image of their class. */
export function nearestMeanAccuracy(set: Dataset, options: TaskOptions): number {
  const sampler = new TaskSampler(set, options);
  const random = new Random(1);
  let sum = 0;
  for (let i = 0; i < TASKS; i++) sum += ofTask(sampler.sample(random), options, imageSize(set));
  return sum / TASKS;
}

function ofTask({ train, query }: Task, { ways, shots }: TaskOptions, size: number): number {
  const means = Array.from({ length: ways }, () => new Float64Array(size));
  for (let i = 0; i < train.x.data.length; i++) {
    means[train.y.data[Math.floor(i / size)]!]![i % size]! += train.x.data[i]! / shots;
  }
  let right = 0;
  for (let q = 0; q < query.y.data.length; q++) {
    const distances = means.map((mean) => {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += (mean[k]! - query.x.data[q * size + k]!) ** 2;
      return sum;
    });
    if (distances.indexOf(Math.min(...distances)) === query.y.data[q]) right++;
  }
  return right / query.y.data.length;
}
