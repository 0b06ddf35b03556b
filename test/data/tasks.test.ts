import { describe, expect, it } from "vitest";
import { characters } from "../../src/data/characters.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { splitClasses, type Task, type TaskPart, TaskSampler } from "../../src/data/tasks.ts";
import { Random } from "../../src/random.ts";

/** Each image is one row of two pixels: its class and its number. */
function numbered(classes: number, perClass: number): Dataset {
  const labels = Int32Array.from({ length: classes * perClass }, (_, i) => i % classes);
  const images = Float32Array.from({ length: 2 * labels.length }, (_, i) =>
    i % 2 === 0 ? labels[i / 2]! : (i - 1) / 2,
  );
  return { name: "numbered", images, labels, channels: 1, rows: 1, columns: 2, classes };
}

const pixel = ({ x }: TaskPart, which: 0 | 1) => Array.from(x.data).filter((_, i) => i % 2 === which);

describe("TaskSampler", () => {
  const sampler = new TaskSampler(numbered(12, 6), { ways: 5, shots: 2, queries: 3 });

  it("gives distinct classes with labels from 0 and query examples that are no training examples", () => {
    const random = new Random(1);
    const used = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const { train, query } = sampler.sample(random);
      expect([train.x.shape, train.y.shape]).toEqual([[10, 1, 1, 2], [10]]);
      expect([query.x.shape, query.y.shape]).toEqual([[15, 1, 1, 2], [15]]);
      expect([...train.y.data]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
      expect([...query.y.data]).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
      const classes = pixel(train, 0).filter((_, k) => k % 2 === 0);
      expect(new Set(classes).size).toBe(5);
      for (const part of [train, query]) {
        expect(pixel(part, 0)).toEqual(Array.from(part.y.data, (label) => classes[label]));
      }
      const examples = [...pixel(train, 1), ...pixel(query, 1)];
      expect(new Set(examples).size).toBe(25);
      for (const example of examples) used.add(example);
    }
    expect(used.size).toBe(72);
  });

  it("draws classes evenly", () => {
    const random = new Random(2);
    const counts = new Float64Array(12);
    for (let i = 0; i < 2400; i++)
      for (const c of new Set(pixel(sampler.sample(random).train, 0))) counts[c]!++;
    // 2400 · 5 / 12 = 1000 times each; the standard deviation is 24.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(100);
  });

  it("puts the tasks of a batch side by side, the same ones that it samples one by one", () => {
    const batch = sampler.batch(3, new Random(3));
    expect([batch.train.x.shape, batch.query.y.shape]).toEqual([
      [3, 10, 1, 1, 2],
      [3, 15],
    ]);
    for (const part of [batch.train, batch.query])
      expect([part.x.perLane, part.y.perLane]).toEqual([true, true]);
    const random = new Random(3);
    const single = [0, 1, 2].map(() => sampler.sample(random));
    const joined = (get: (task: Task) => { data: ArrayLike<number> }) =>
      single.flatMap((task) => [...Array.from(get(task).data)]);
    expect([...batch.train.x.data]).toEqual(joined((task) => task.train.x));
    expect([...batch.train.y.data]).toEqual(joined((task) => task.train.y));
    expect([...batch.query.x.data]).toEqual(joined((task) => task.query.x));
    expect([...batch.query.y.data]).toEqual(joined((task) => task.query.y));
  });

  it("keeps to the classes it is given", () => {
    const some = new TaskSampler(numbered(12, 6), { ways: 2, shots: 1, queries: 5, classes: [3, 7, 8] });
    const random = new Random(4);
    const seen = new Set<number>();
    for (let i = 0; i < 50; i++) for (const c of pixel(some.sample(random).query, 0)) seen.add(c);
    expect([...seen].sort()).toEqual([3, 7, 8]);
  });

  it("says what does not fit", () => {
    const ask = (options: object) => () =>
      new TaskSampler(numbered(12, 6), { ways: 5, shots: 1, queries: 5, ...options });
    expect(ask({ ways: 1 })).toThrow("ways of a task must be a whole number, at least 2, got 1");
    expect(ask({ shots: 0.5 })).toThrow("shots of a task");
    expect(ask({ queries: 6 })).toThrow("class 0 of numbered has 6 examples, 1 shots and 6 queries need 7");
    expect(ask({ ways: 13 })).toThrow("13-way tasks need 13 classes, there are 12");
    expect(ask({ classes: [1, 2, 3, 4, 12] })).toThrow("numbered has no class 12: it has 12");
    expect(ask({ classes: [1, 2, 3, 4, 4] })).toThrow("twice");
    expect(ask({ way: 3 })).toThrow('TaskSampler takes no "way"; there are ways, shots, queries, classes');
    expect(() => new TaskSampler(numbered(12, 6), undefined as never)).toThrow("classes }, not undefined");
  });

  it("takes a small part of an outer step's time", () => {
    const set = characters({ classes: 100, seed: 1 });
    const many = new TaskSampler(set, { ways: 5, shots: 1, queries: 10 });
    const random = new Random(1);
    const start = performance.now();
    for (let i = 0; i < 20; i++) many.batch(8, random);
    console.log(`a batch of 8 five-way tasks: ${((performance.now() - start) / 20).toFixed(2)} ms`);
  });
});

describe("splitClasses", () => {
  it("holds out a part, the same for the same seed", () => {
    const { train, validation } = splitClasses({ classes: 50 }, 0.2, new Random(1));
    expect([train.length, validation.length]).toEqual([40, 10]);
    expect(new Set([...train, ...validation]).size).toBe(50);
    expect(splitClasses({ classes: 50 }, 0.2, new Random(1))).toEqual({ train, validation });
    expect(splitClasses({ classes: 50 }, 0.2, new Random(2))).not.toEqual({ train, validation });
    expect(splitClasses({ classes: 50 }, 0, new Random(1)).train).toHaveLength(50);
    expect(() => splitClasses({ classes: 50 }, 20, new Random(1))).toThrow("from 0 to 1");
  });

  it("keeps the turns of a character on one side", () => {
    const { train, validation } = splitClasses({ classes: 40, turns: 4 }, 0.2, new Random(1));
    expect([train.length, validation.length]).toEqual([32, 8]);
    const characters = (...classes: number[]) => new Set(classes.map((c) => c % 10)).size;
    expect([characters(...train), characters(...validation)]).toEqual([8, 2]);
    expect(characters(...train, ...validation)).toBe(10);
  });
});
