import { linearGrid, linearMain } from "../../shaders/operand.ts";
import { Block } from "../gpu/block.ts";
import { bindings, type Dispatch, Sequence } from "../gpu/dispatch.ts";
import { Executable } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Effort, measure } from "./measure.ts";

/** Bytes a second of a copy that touches so many bytes, half of them read and half written. */
export interface CopyRate {
  readonly bytes: number;
  readonly gigabytesPerSecond: number;
  /** The form of the kernel that was the fastest. */
  readonly form: string;
}

/** What this adapter can do at best, by kernels that do nothing else. */
export interface Roofline {
  /** Multiply-adds in registers, each counted as two operations. */
  readonly gflops: number;
  /** The form of the kernel that was the fastest. */
  readonly fma: string;
  /** By growing size: the first may stay in a cache, the last is the memory's. */
  readonly copies: readonly CopyRate[];
  /** Microseconds of a dispatch that does nothing, in a row of such. */
  readonly launch: number;
}

/** The least microseconds that some work takes, and what sets them: a side of the roofline or its launches. */
export interface Bound {
  readonly microseconds: number;
  readonly by: "compute" | "memory" | "launch";
}

export function bound(
  { gflops, copies, launch }: Roofline,
  flops: number,
  bytes: number,
  launches = 0,
): Bound {
  // A set of data that fits a cache where a larger one does cannot be slower than that.
  const fitting = copies.filter((copy) => copy.bytes >= bytes);
  const rates = (fitting.length > 0 ? fitting : copies.slice(-1)).map((copy) => copy.gigabytesPerSecond);
  const compute = flops / gflops / 1e3;
  const memory = bytes / Math.max(...rates) / 1e3;
  const launching = launches * launch;
  if (launching > Math.max(compute, memory)) return { microseconds: launching, by: "launch" };
  return compute > memory ? { microseconds: compute, by: "compute" } : { microseconds: memory, by: "memory" };
}

export async function measureRoofline(
  gpu: Gpu,
  effort: Effort,
  { quick }: { quick: boolean },
): Promise<Roofline> {
  const time = async (dispatch: Dispatch) => {
    const sequence = new Sequence(dispatch.label);
    sequence.add(dispatch);
    const executable = await Executable.build(gpu, [sequence]);
    try {
      const times = await measure(executable, [sequence], effort);
      // A ceiling is what was reached once, not what is usual.
      return times.fastest ?? times.wall;
    } finally {
      executable.destroy();
    }
  };
  let peak = { gflops: 0, fma: "" };
  for (const fused of [true, false]) {
    for (const accumulators of quick ? [4] : [2, 3, 4, 6, 8, 12]) {
      const dispatch = multiplyAdds({ accumulators, fused, groups: gpu.choice.software ? 64 : 4096 });
      const gflops = dispatch.flops / (await time(dispatch)) / 1e3;
      if (gflops > peak.gflops) peak = { gflops, fma: dispatch.label };
    }
  }
  const { maxStorageBufferBindingSize: binding, maxBufferSize: buffer } = gpu.device.limits;
  const largest = Math.min(binding, buffer, quick ? 2 ** 20 : gpu.choice.software ? 2 ** 26 : 2 ** 28);
  const copies: CopyRate[] = [];
  for (let half = 2 ** 15; half <= largest; half *= 2) {
    let best = { bytes: 2 * half, gigabytesPerSecond: 0, form: "" };
    for (const dispatch of [stridingCopy(half), ...copyForms.map((form) => copy(half, form))]) {
      const rate = dispatch.bytes / (await time(dispatch)) / 1e3;
      if (rate > best.gigabytesPerSecond) best = { ...best, gigabytesPerSecond: rate, form: dispatch.label };
    }
    copies.push(best);
  }
  return { ...peak, copies, launch: await time(nothing()) };
}

const THREADS = 64;
const ROUNDS = 256;
const UNROLLED = 4;

/** Chains of multiply-adds on vectors that never leave the registers. */
function multiplyAdds(form: { accumulators: number; fused: boolean; groups: number }): Dispatch {
  const { accumulators, fused, groups } = form;
  const sums = Array.from({ length: accumulators }, (_, k) => `s${k}`);
  const step = (s: string) => (fused ? `${s} = fma(${s}, a, b);` : `${s} = ${s} * a + b;`);
  const round = Array.from({ length: UNROLLED }, () => sums.map(step).join(" ")).join("\n    ");
  const invocations = THREADS * groups;
  return {
    label: `${accumulators} vec4f, ${fused ? "fma(x, a, b)" : "x * a + b"}`,
    code: /* wgsl */ `
@group(0) @binding(0) var<storage, read> factors: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4f>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = factors[0];
  let b = factors[1];
  ${sums.map((s, k) => `var ${s} = b * f32(id.x + ${k}u);`).join("\n  ")}
  for (var round = 0u; round < ${ROUNDS}u; round++) {
    ${round}
  }
  results[id.x] = ${sums.join(" + ")};
}`,
    bindings: bindings(
      ["read", { block: new Block("factors", "data", 32, new Float32Array(8).fill(0.5)) }],
      ["write", { block: new Block("results", "data", 16 * invocations) }],
    ),
    grid: [groups, 1, 1],
    flops: invocations * ROUNDS * UNROLLED * accumulators * 4 * 2,
    bytes: 16 * invocations,
  };
}

interface CopyForm {
  readonly type: "vec4f" | "mat4x4f";
  readonly size: number;
  /** Accesses an invocation; neighbours' accesses lie together. */
  readonly each: number;
}

/** A GPU wants the first; software adapters, which pay for every access, the last. */
const copyForms: readonly CopyForm[] = [
  { type: "vec4f", size: 16, each: 4 },
  { type: "mat4x4f", size: 64, each: 1 },
  { type: "mat4x4f", size: 64, each: 4 },
];

/** Moves `bytes` from one buffer to another. */
function copy(bytes: number, { type, size, each }: CopyForm): Dispatch {
  const count = bytes / size;
  const groups = Math.ceil(count / THREADS / each);
  const columns = Math.min(groups, 32768);
  return {
    label: `${each} ${type}`,
    code: /* wgsl */ `
@group(0) @binding(0) var<storage, read> source: array<${type}>;
@group(0) @binding(1) var<storage, read_write> copied: array<${type}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let start = (group.x + group.y * ${columns}u) * ${THREADS * each}u + local;
  for (var k = 0u; k < ${each}u; k++) {
    let i = start + k * ${THREADS}u;
    if (i < ${count}u) { copied[i] = source[i]; }
  }
}`,
    bindings: fromTo(bytes),
    grid: [columns, Math.ceil(groups / columns), 1],
    flops: 0,
    bytes: 2 * bytes,
  };
}

/** The same by as few invocations as the engine's flat kernels have, each with no more to test than where it ends. */
function stridingCopy(bytes: number): Dispatch {
  const count = bytes / 16;
  return {
    label: "vec4f, striding",
    code: /* wgsl */ `
@group(0) @binding(0) var<storage, read> source: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4f>;
${linearMain(count)}
  copied[i] = source[i];
}`,
    bindings: fromTo(bytes),
    grid: linearGrid(count),
    flops: 0,
    bytes: 2 * bytes,
  };
}

const fromTo = (bytes: number) =>
  bindings(
    ["read", { block: new Block("source", "data", bytes) }],
    ["write", { block: new Block("copied", "data", bytes) }],
  );

function nothing(): Dispatch {
  return {
    label: "nothing",
    code: /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> word: array<u32>;
@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x > 0u) { word[0] = 1u; }
}`,
    bindings: bindings(["write", { block: new Block("word", "data", 4) }]),
    grid: [1, 1, 1],
    flops: 0,
    bytes: 0,
  };
}
