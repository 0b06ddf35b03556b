// One outer step of linear data hyper-cleaning: time and bytes for each estimator against T and K, what it asks of
// WebGPU, and the cost of a Hessian product as a multiple of a gradient's.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import type { Estimator } from "../src/bilevel/estimator.ts";
import { OuterLoop } from "../src/bilevel/outer_loop.ts";
import { adam } from "../src/bilevel/outer_optimizer.ts";
import { take } from "../src/data/dataset.ts";
import { glyphs } from "../src/data/glyphs.ts";
import {
  type Effort,
  gpuRuns,
  hostRuns,
  inTurns,
  median,
  openForTiming,
  type Runs,
} from "../src/diagnostics/measure.ts";
import { krmd } from "../src/estimators/krmd.ts";
import { estimatorList } from "../src/estimators/named.ts";
import type { Counters } from "../src/gpu/gpu.ts";
import { formatBytes, type MemoryReport } from "../src/gpu/memory.ts";
import { differentiate } from "../src/graph/differentiate.ts";
import { size } from "../src/graph/shape.ts";
import { zeros } from "../src/graph/values.ts";
import { parseArguments, positiveInteger } from "../src/host/arguments.ts";
import { progress } from "../src/host/terminal.ts";
import { linear, type Model, mlp } from "../src/nn/models.ts";
import { digits } from "../src/report/digits.ts";
import { table } from "../src/report/table.ts";
import { cleaning, examples, innerLoss } from "./cleaning.ts";
import { names, outputFlags, timingFlags, wholeNumbers } from "./flags.ts";
import { about, deliver } from "./result.ts";
import { warmUp } from "./warm_up.ts";

const options = await parseArguments(
  "hypergrad bench hypergradient",
  object({
    train: optional(
      option("--train", positiveInteger(), { description: message`Training examples [1000, quick 64].` }),
    ),
    val: optional(
      option("--val", positiveInteger(), { description: message`Validation examples [1000, quick 64].` }),
    ),
    steps: optional(
      option("--steps", string({ metavar: "LIST" }), {
        description: message`Horizons T [5,10,20,50,100, quick 2,4].`,
      }),
    ),
    estimators: withDefault(
      option("--estimators", string({ metavar: "LIST" }), {
        description: message`Estimators beside krmd, with parameters after colons. fmd and rtho carry a column for each training example.`,
      }),
      "rmd,rmd:activations,checkpointed,reversible,t1t2,greedy,greedy:auto,first-order,neumann,cg,nystrom,inexact-gd,inexact-hb,drmad",
    ),
    k: optional(
      option("--k", string({ metavar: "LIST" }), {
        description: message`Steps K that krmd goes back [1,5,20, quick 1,2].`,
      }),
    ),
    samples: optional(
      option("--samples", positiveInteger(), {
        description: message`Samples taken, each of as many outer steps as fill 20 ms, quick 1 ms [7, quick 1].`,
      }),
    ),
    ...timingFlags,
    ...outputFlags,
  }),
  { description: "Times one outer step of data hyper-cleaning for each estimator." },
);
const { quick } = options;
const horizons = wholeNumbers("--steps", options.steps ?? (quick ? "2,4" : "5,10,20,50,100"));
const lengths = wholeNumbers("--k", options.k ?? (quick ? "1,2" : "1,5,20"));
const effort: Effort = { samples: options.samples ?? (quick ? 1 : 7), milliseconds: quick ? 1 : 20 };
const count = quick ? 64 : 1000;
const { train = count, val = count } = options;

const gpu = await openForTiming(names(options.toggles));
const timestamps = gpu.device.features.has("timestamp-query");
const drawn = glyphs({ count: train + val, seed: 1 });
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const data = {
  train: examples(take(drawn, range(0, train))),
  val: examples(take(drawn, range(train, train + val))),
};
const pixels = drawn.rows * drawn.columns;

/** An estimator at work, by the name it has in the tables. */
interface Entry {
  readonly label: string;
  readonly estimator: Estimator;
  /** The shortest horizon it makes sense for. */
  readonly from: number;
}

const entries: readonly Entry[] = [
  ...estimatorList(options.estimators).map((chosen) => ({ ...chosen, from: 1 })),
  ...lengths.map((k) => ({ label: `krmd(${k})`, estimator: krmd({ k }), from: k })),
];

interface Row {
  estimator: string;
  steps: number;
  /** Milliseconds an outer step: by timestamps, and from submit until its loss is on the host. Medians. */
  gpu: number | null;
  wall: number;
  /** Those of the fastest sample: what noise on the machine has added the least to. */
  fastest: { gpu: number | null; wall: number };
  bytes: MemoryReport;
  /** What one outer step in the steady state asks of WebGPU. */
  asks: Counters;
}

async function timeOuterStep({ label, estimator }: Entry, steps: number): Promise<Row> {
  const loop = await prepare(estimator, steps);
  try {
    const { begin, main, update } = loop.sequences;
    const step = () => loop.step({ restart: true });
    await warmUp(gpu, step);
    const before = { ...gpu.counters };
    await step();
    const asks = difference(gpu.counters, before);
    const times = await inTurns(
      { gpu: gpuRuns(loop.executable, [begin, main, update]), wall: hostRuns(step) },
      effort,
    );
    const of = (choose: (microseconds: readonly number[]) => number) => ({
      gpu: times.gpu.length > 0 ? choose(times.gpu) / 1e3 : null,
      wall: choose(times.wall) / 1e3,
    });
    return {
      estimator: label,
      steps,
      ...of(median),
      fastest: of((list) => Math.min(...list)),
      bytes: loop.memory,
      asks,
    };
  } finally {
    loop.destroy();
  }
}

function prepare(estimator: Estimator, steps: number) {
  const problem = cleaning({ model: linear(pixels, 10), ...data, steps });
  return OuterLoop.prepare(problem, { gpu, estimator, optimizer: adam({ lr: 0.1 }) });
}

function difference(after: Counters, before: Counters): Counters {
  const changes = Object.entries(after).map(([name, value]) => [
    name,
    value - before[name as keyof Counters],
  ]);
  return Object.fromEntries(changes) as Counters;
}

/** A Hessian product along (ẇ, α̇), with all its outputs, beside the gradient by w and α; milliseconds on the GPU. */
interface Product {
  model: string;
  parameters: number;
  gradient: number | null;
  hvp: number | null;
  /** hvp / gradient: of the medians, and of the fastest runs. */
  multiple: number | null;
  fastest: number | null;
}

async function timeProduct(name: string, model: Model<string>): Promise<Product> {
  const hyper = { weight: zeros([train]) };
  const loss = innerLoss(model);
  const f = await differentiate(gpu, {
    parameters: model.parameters,
    hyper,
    data: data.train,
    loss: (w, a, d) => loss(w, a, d, { rows: (tensor) => tensor }),
  });
  try {
    const parameters = Object.values(model.parameters).reduce((sum, { shape }) => sum + size(shape), 0);
    const tangent = { parameters: model.parameters, hyper };
    await warmUp(gpu, () => f.hvp(tangent));
    const about = { model: name, parameters };
    if (!timestamps) return { ...about, gradient: null, hvp: null, multiple: null, fastest: null };
    const runs =
      (program: "gradient" | "hvp"): Runs =>
      async (repeats) => {
        let microseconds = 0;
        for (let i = 0; i < repeats; i++) microseconds += (await f.time(program)) / 1e3;
        return microseconds;
      };
    const { samples, milliseconds } = effort;
    const times = await inTurns(
      { gradient: runs("gradient"), hvp: runs("hvp") },
      { samples: 4 * samples, milliseconds: milliseconds / 4 },
    );
    const [gradient, hvp] = [median(times.gradient) / 1e3, median(times.hvp) / 1e3];
    const fastest = Math.min(...times.hvp) / Math.min(...times.gradient);
    return { ...about, gradient, hvp, multiple: hvp / gradient, fastest };
  } finally {
    f.destroy();
  }
}

const pairs = horizons.flatMap((steps) =>
  entries.filter(({ from }) => from <= steps).map((entry) => ({ entry, steps })),
);
const bar = progress({ total: pairs.length, label: "outer steps" });
const rows: Row[] = [];
for (const { entry, steps } of pairs) {
  bar.update(rows.length, { now: `${entry.label} T=${steps}` });
  rows.push(await timeOuterStep(entry, steps));
}
bar.update(rows.length);
bar.stop();
const products = [
  await timeProduct(`linear ${pixels}-10`, linear(pixels, 10)),
  await timeProduct(`MLP ${pixels}-64-10`, mlp([pixels, 64, 10])),
];
await deliver(
  {
    ...(await about("hypergradient", gpu.choice.description)),
    toggles: gpu.choice.toggles,
    train,
    val,
    effort,
    rows,
    products,
  },
  options,
  text,
);

function text(result: { adapter: string }): string {
  const withoutData = ({ bytes }: Row) => bytes.total - (bytes.data ?? 0);
  return [
    `${result.adapter}; linear data hyper-cleaning, ${train} training and ${val} validation examples`,
    `data on the GPU: ${formatBytes(rows[0]?.bytes.data ?? 0)}`,
    against("GPU ms an outer step", (row) => digits(row.gpu ?? undefined)),
    against("wall ms an outer step", (row) => digits(row.wall)),
    against("trajectory bytes", (row) => formatBytes(row.bytes.trajectory ?? 0)),
    against("all bytes but the data", (row) => formatBytes(withoutData(row))),
    against("dispatches, submits", ({ asks }) => `${asks.dispatches}, ${asks.submits}`),
    table(
      ["one product", "parameters", "gradient ms", "hvp ms", "hvp / gradient", "of the fastest"],
      products.map(({ model, parameters, gradient, hvp, multiple, fastest }) => [
        model,
        String(parameters),
        ...[gradient, hvp, multiple, fastest].map((value) => digits(value ?? undefined)),
      ]),
    ),
  ].join("\n\n");
}

/** Estimators downwards, T across. */
function against(title: string, cell: (row: Row) => string): string {
  return table(
    [title, ...horizons.map((steps) => `T=${steps}`)],
    entries.map(({ label }) => [
      label,
      ...horizons.map((steps) => {
        const row = rows.find((row) => row.estimator === label && row.steps === steps);
        return row ? cell(row) : "–";
      }),
    ]),
  );
}
