// Tries the variants of matrix products and convolutions on every class of shapes that the kernel cases have, and keeps
// the fastest of each class for this adapter.
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { type ConvVariant, convCandidates, convClass } from "../shaders/conv.ts";
import { type MatmulTile, matmulCandidates, matmulClass } from "../shaders/matmul.ts";
import { range } from "../shaders/range.ts";
import type { Variants } from "../shaders/variants.ts";
import { median, openForTiming, passTime } from "../src/diagnostics/measure.ts";
import { Sequence } from "../src/gpu/dispatch.ts";
import { Executable } from "../src/gpu/executable.ts";
import { adapterClass, ownTuning, readTable } from "../src/gpu/tuned.ts";
import { parseArguments, positiveInteger } from "../src/host/arguments.ts";
import { writeFile } from "../src/host/files.ts";
import { note, progress } from "../src/host/terminal.ts";
import { digits } from "../src/report/digits.ts";
import { table } from "../src/report/table.ts";
import { caseFlags, named, names, outputFlags, timingFlags } from "./flags.ts";
import type { KernelCase } from "./kernel_case.ts";
import { tunedCases } from "./kernel_cases.ts";
import { about, deliver } from "./result.ts";

const options = await parseArguments(
  "hypergrad bench tune",
  object({
    ...caseFlags,
    candidates: withDefault(
      option("--candidates", positiveInteger(), {
        description: message`Variants tried for each class, those first that should be the fastest.`,
      }),
      6,
    ),
    ship: option("--ship", {
      description: message`Write the table that comes with the package, in shaders/tuned/, instead of your own.`,
    }),
    ...timingFlags,
    ...outputFlags,
  }),
  {
    description:
      "Finds the fastest variants of matrix products and convolutions on this adapter; later runs on it use them.",
  },
);

type Variant = MatmulTile | ConvVariant;

/** What a case asks for: a class, and the variants that it may be computed by. */
interface Question {
  readonly kernel: "matmul" | "conv";
  readonly shapeClass: string;
  readonly candidates: readonly Variant[];
}

interface Row extends Omit<Question, "candidates"> {
  readonly name: string;
  readonly mode: string;
  readonly tried: number;
  /** Microseconds of the variant that is taken without tuning, and of the best. */
  readonly untuned: number;
  readonly tuned: number;
  readonly variant: Variant;
}

const [rounds, passMicroseconds] = options.quick ? [1, 1] : [9, 4000];
/** A variant has to be that much faster than the untuned one to be taken: less is noise. */
const WORTHWHILE = 1.1;
/** Largest difference of a variant's result to the untuned one's, over the largest element. */
const BUDGET = 1e-5;

const gpu = await openForTiming(names(options.toggles));
const asked = new Map<string, { kase: KernelCase; question: Question }>();
for (const kase of named(tunedCases(gpu.choice), options.only)) {
  const question = questionOf(kase);
  if (question !== undefined && !asked.has(question.shapeClass))
    asked.set(question.shapeClass, { kase, question });
}
const bar = progress({ total: asked.size, label: "classes" });
const rows: Row[] = [];
for (const { kase, question } of asked.values()) {
  bar.update(rows.length, { now: `${kase.name} ${kase.mode}` });
  rows.push(await tune(kase, question));
}
bar.update(rows.length);
bar.stop();
await keep();
await deliver({ ...(await about("tune", gpu.choice.description)), rows }, options, text);

/** The question that a case asks of the table of variants, if any. */
function questionOf(kase: KernelCase): Question | undefined {
  let question: Question | undefined;
  const { candidates: most } = options;
  const untuned = { ...gpu.traits, variants: undefined };
  const asking: Variants = {
    matmul(shape) {
      const candidates = matmulCandidates(shape, untuned, most);
      question = { kernel: "matmul", shapeClass: matmulClass(shape), candidates };
      return undefined;
    },
    conv(asked) {
      const candidates = convCandidates(asked, untuned, most);
      question = { kernel: "conv", shapeClass: convClass(asked), candidates };
      return undefined;
    },
  };
  kase.dispatches(gpu, { ...untuned, variants: asking });
  return question;
}

interface Contestant {
  readonly variant: Variant;
  readonly executable: Executable;
  readonly pass: readonly Sequence[];
  /** Microseconds in each round. */
  readonly times: number[];
}

async function tune(kase: KernelCase, { kernel, shapeClass, candidates }: Question): Promise<Row> {
  const distinct = new Map(candidates.map((variant) => [JSON.stringify(variant), variant]));
  const contestants: Contestant[] = [];
  let reference: Float32Array[] | undefined;
  try {
    for (const [label, variant] of distinct) {
      const forced = { matmul: () => variant as MatmulTile, conv: () => variant as ConvVariant };
      const sequence = new Sequence(label);
      for (const dispatch of kase.dispatches(gpu, { ...gpu.traits, variants: forced }))
        sequence.add(dispatch);
      const executable = await Executable.build(gpu, [sequence]);
      const found = await outputs(executable, sequence);
      reference ??= found;
      if (difference(found, reference) > BUDGET) {
        note(`${shapeClass}: ${label} is wrong here and was left out`);
        executable.destroy();
        continue;
      }
      const repeats = Math.ceil(passMicroseconds / Math.max(1, await passTime(executable, [sequence])));
      contestants.push({ variant, executable, pass: Array(repeats).fill(sequence), times: [] });
    }
    for (let round = 0; round < rounds; round++) {
      for (const { executable, pass, times } of contestants)
        times.push((await passTime(executable, pass)) / pass.length);
    }
  } finally {
    for (const { executable } of contestants) executable.destroy();
  }
  // A machine that others use is slow for seconds at a time: what counts is a variant's share of its round.
  const means = range(rounds).map((round) => mean(contestants.map(({ times }) => times[round]!)));
  const timed = contestants.map(({ variant, times }) => ({
    variant,
    time: median(means) * median(times.map((time, round) => time / means[round]!)),
  }));
  const [untuned] = timed;
  const best = timed.reduce((a, b) => (b.time < a.time ? b : a));
  const { variant, time } = untuned!.time > WORTHWHILE * best.time ? best : untuned!;
  return {
    ...{ kernel, shapeClass, name: kase.name, mode: kase.mode, tried: timed.length },
    ...{ untuned: untuned!.time, tuned: time, variant },
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What the last of the dispatches writes. */
async function outputs(executable: Executable, sequence: Sequence): Promise<Float32Array[]> {
  executable.run(sequence);
  const written = sequence.dispatches.at(-1)!.bindings.filter(({ access }) => access === "overwrite");
  return Promise.all(
    written.map(async ({ resource }) => new Float32Array(await executable.read(resource.block))),
  );
}

function difference(found: readonly Float32Array[], reference: readonly Float32Array[]): number {
  let [worst, largest] = [0, 0];
  reference.forEach((expected, k) => {
    expected.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(found[k]![i]! - value));
      largest = Math.max(largest, Math.abs(value));
    });
  });
  return worst / (largest || 1);
}

/** Writes the table; classes that were not tried stay as they are in it. */
async function keep(): Promise<void> {
  if (options.quick) return;
  const name = adapterClass(gpu.choice);
  const file = options.ship
    ? new URL(`../shaders/tuned/${name}.json`, import.meta.url)
    : await ownTuning(name);
  if (file === undefined) return note("no folder for cached files can be written: nothing is kept");
  const before = await readTable(file);
  const of = (kernel: Row["kernel"]) => {
    const classes: Record<string, Variant> = { ...before?.[kernel] };
    for (const { shapeClass, variant, tuned, untuned } of rows.filter((row) => row.kernel === kernel)) {
      if (tuned < untuned) classes[shapeClass] = variant;
      else delete classes[shapeClass];
    }
    return classes;
  };
  const made = { adapter: gpu.choice.description, matmul: of("matmul"), conv: of("conv") };
  await writeFile(file, `${JSON.stringify(made, undefined, 2)}\n`);
  note(`written to ${options.ship ? `shaders/tuned/${name}.json` : file}`);
}

function text(result: { adapter: string; rows: readonly Row[] }): string {
  return [
    result.adapter,
    "",
    table(
      ["case", "half", "tried", "untuned µs", "tuned µs", "factor", "variant"],
      result.rows.map(({ name, mode, tried, untuned, tuned, variant }) => [
        ...[name, mode, `${tried}`, digits(untuned), digits(tuned), digits(untuned / tuned)],
        JSON.stringify(variant).replaceAll('"', ""),
      ]),
    ),
  ].join("\n");
}
