import { describe, expect, test } from "vitest";
import { errorOf, TOLERANCE } from "../../bench/exact.ts";
import type { Exact, Inputs, KernelCase } from "../../bench/kernel_case.ts";
import { kernelCases, largeCases, tunedCases } from "../../bench/kernel_cases.ts";
import { bound } from "../../src/diagnostics/roofline.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { Executable } from "../../src/gpu/executable.ts";
import { hypergrad } from "../cli/launcher.ts";
import { withGpu } from "../support/gpu.ts";

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await hypergrad(["bench", ...args, "--json"]);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as T;
}

interface About {
  bench: string;
  date: string;
  adapter: string;
  runtime: string;
  versions: Record<string, string>;
}

function expectAbout(about: About, bench: string, runtime = "node"): void {
  expect(about).toMatchObject({ bench, runtime });
  expect(about.adapter).not.toBe("");
  expect(Date.parse(about.date)).not.toBeNaN();
  expect(about.versions.hypergrad).toMatch(/^\d+\.\d+\.\d+/);
}

describe("bench kernels", () => {
  const gpu = withGpu((adapter) => `benchmark cases on ${adapter}`);

  const errors = async ({ dispatches }: KernelCase, exact: readonly Exact[]) => {
    const sequence = new Sequence("case");
    for (const kernel of dispatches(gpu())) sequence.add(kernel);
    const executable = await Executable.build(gpu(), [sequence]);
    try {
      return await errorOf(executable, sequence, exact);
    } finally {
      executable.destroy();
    }
  };

  test("every case is one kernel that does something, and has a name of its own", () => {
    const seen = new Set<string>();
    const { choice } = gpu();
    for (const { name, mode, dispatches } of new Set([...kernelCases(choice), ...tunedCases(choice)])) {
      const [kernel] = dispatches(gpu());
      expect(kernel!.code, name).toContain("fn main");
      expect(kernel!.flops, name).toBeGreaterThanOrEqual(0);
      expect(kernel!.bytes, name).toBeGreaterThan(0);
      expect(seen.has(`${name} ${mode}`), name).toBe(false);
      seen.add(`${name} ${mode}`);
    }
  });

  test("what is large is for GPUs alone, and larger than their caches", () => {
    const names = (cases: readonly KernelCase[]) => cases.map(({ name }) => name);
    const [large, hardware] = [names(largeCases), { software: false }];
    expect(names(kernelCases(hardware))).toEqual([...names(kernelCases({ software: true })), ...large]);
    for (const size of ["4096×4096", "relu 67108864", "dot 67108864"])
      expect(large.some((name) => name.includes(size))).toBe(true);
    expect(names(tunedCases(hardware))).toContain("product 4096×4096, 4096×4096");
    expect(names(tunedCases({ software: true })).filter((name) => large.includes(name))).toEqual([]);
    expect(largeCases.every(({ exact }) => exact.length > 0)).toBe(true);
  });

  test("results agree with float64, where the case has it", async () => {
    for (const kase of kernelCases(gpu().choice).filter(({ exact }) => exact.length > 0))
      expect(await errors(kase, kase.exact), `${kase.name} ${kase.mode}`).toBeLessThan(TOLERANCE);
  });

  test("a result that is wrong is found, in either half", async () => {
    const dual = kernelCases(gpu().choice).find(
      ({ name, mode }) => name.startsWith("divide") && mode === "dual",
    )!;
    expect(dual.exact.map(({ block }) => block)).toEqual(["primal", "tangent"]);
    for (const wrong of dual.exact) {
      const value = (at: Inputs, i: number) => 1.01 * wrong.value(at, i);
      const exact = dual.exact.map((each) => (each === wrong ? { ...each, value } : each));
      expect(await errors(dual, exact)).toBeGreaterThan(TOLERANCE);
    }
  });

  test.each(["node", "deno"])("prints one JSON object in %s", async (runtime) => {
    const result = await json<
      About & {
        roofline: { gflops: number; copies: { bytes: number; gigabytesPerSecond: number }[] };
        rows: {
          name: string;
          wall: number;
          gflops: number;
          percent: number | null;
          by: string;
          error: number;
        }[];
      }
    >("kernels", "--quick", "--only", "sigmoid 100000,dot 7850", "--runtime", runtime);
    expectAbout(result, "kernels", runtime);
    expect(result.roofline.gflops).toBeGreaterThan(0);
    const sizes = result.roofline.copies.map(({ bytes }) => bytes);
    expect(sizes.length).toBeGreaterThan(1);
    expect(sizes.slice(1)).toEqual(sizes.slice(0, -1).map((bytes) => 2 * bytes));
    expect(result.rows.map(({ name }) => name)).toEqual(["sigmoid 100000", "sigmoid 100000", "dot 7850"]);
    for (const row of result.rows) {
      for (const value of [row.wall, row.gflops]) expect(value).toBeGreaterThan(0);
      expect(row.error).toBeLessThan(TOLERANCE);
      expect(["compute", "memory", "launch"]).toContain(row.by);
      if (row.by === "launch") expect(row.percent).toBeNull();
      else expect(row.percent).toBeGreaterThan(0);
    }
  });

  test("--only that fits nothing is exit code 2 and lists the cases", async () => {
    const { code, stderr } = await hypergrad(["bench", "kernels", "--only", "fourier"]);
    expect(code).toBe(2);
    expect(stderr).toContain("cross-entropy backward 1000×10");
    expect((await hypergrad(["bench", "kernels", "--only", ""])).code).toBe(2);
  });

  test("the tighter side of the roofline sets the bound, by the bandwidth of the size at hand", () => {
    const copies = [
      { bytes: 1e6, gigabytesPerSecond: 100, form: "" },
      { bytes: 1e9, gigabytesPerSecond: 10, form: "" },
    ];
    const roofline = { gflops: 1000, fma: "", copies, launch: 1 };
    expect(bound(roofline, 1e9, 1e6)).toEqual({ microseconds: 1000, by: "compute" });
    expect(bound(roofline, 1e6, 1e6)).toEqual({ microseconds: 10, by: "memory" });
    expect(bound(roofline, 0, 1e7)).toEqual({ microseconds: 1000, by: "memory" });
    expect(bound(roofline, 0, 1e10)).toEqual({ microseconds: 1e6, by: "memory" });
  });

  test("launches set the bound where they take longer than both sides", () => {
    const copies = [{ bytes: 1e9, gigabytesPerSecond: 10, form: "" }];
    const roofline = { gflops: 1000, fma: "", copies, launch: 4 };
    expect(bound(roofline, 1e6, 5e4, 1)).toEqual({ microseconds: 5, by: "memory" });
    expect(bound(roofline, 1e6, 5e4, 2)).toEqual({ microseconds: 8, by: "launch" });
    expect(bound(roofline, 9e6, 5e4, 2)).toEqual({ microseconds: 9, by: "compute" });
  });
});

test("bench hypergradient: steady steps make nothing, and memory grows as it should", async () => {
  const result = await json<
    About & {
      rows: {
        estimator: string;
        steps: number;
        wall: number;
        bytes: { total: number; trajectory?: number; bookkeeping: number };
        asks: { submits: number; dispatches: number; buffers: number; bindGroups: number; pipelines: number };
      }[];
      products: { model: string; parameters: number }[];
    }
  >("hypergradient", "--quick", "--estimators", "rmd,t1t2,greedy,first-order");
  expectAbout(result, "hypergradient");
  for (const { wall, asks } of result.rows) {
    expect(wall).toBeGreaterThan(0);
    expect(asks.dispatches).toBeGreaterThan(0);
    expect(asks).toMatchObject({ submits: 1, buffers: 0, bindGroups: 0, pipelines: 0 });
  }
  const bytes = (name: string, steps: number) =>
    result.rows.find((row) => row.estimator === name && row.steps === steps)!.bytes;
  for (const flat of ["krmd(1)", "krmd(2)", "t1t2", "greedy(0.9)", "first-order"]) {
    const [short, long] = [bytes(flat, 2), bytes(flat, 4)];
    expect(long.total - long.bookkeeping, flat).toBe(short.total - short.bookkeeping);
  }
  expect(bytes("rmd", 4).trajectory).toBe(2 * bytes("rmd", 2).trajectory!);
  expect(bytes("krmd(2)", 4).trajectory).toBe(2 * bytes("krmd(1)", 4).trajectory!);
  expect(result.products.map(({ parameters }) => parameters)).toEqual([7850, 50_890]);
});

test("bench hypergradient --quick measures what is stated all the same", async () => {
  const flags = ["--steps", "3", "--k", "2", "--train", "20", "--estimators", "t1t2"];
  const result = await json<{ train: number; val: number; rows: { estimator: string; steps: number }[] }>(
    ...["hypergradient", "--quick", ...flags],
  );
  expect(result).toMatchObject({ train: 20, val: 64 });
  expect(result.rows.map(({ estimator, steps }) => [estimator, steps])).toEqual([
    ["t1t2", 3],
    ["krmd(2)", 3],
  ]);
});

test("bench lanes: one step of several lanes beside as many steps of one", async () => {
  interface Pair {
    gpu: number | null;
    wall: number;
  }
  const result = await json<
    About & {
      rows: {
        problem: string;
        lanes: number;
        together: Pair;
        alone: Pair;
        ratio: Pair;
        streamed: { wall: number; sampling: number } | null;
      }[];
    }
  >("lanes", "--quick");
  expectAbout(result, "lanes");
  expect(new Set(result.rows.map(({ problem }) => problem)).size).toBe(3);
  for (const { problem, lanes, together, alone, ratio, streamed } of result.rows) {
    expect([1, 4]).toContain(lanes);
    for (const { wall } of [together, alone]) expect(wall).toBeGreaterThan(0);
    expect(ratio.wall).toBeCloseTo(alone.wall / together.wall, 6);
    expect(streamed === null).toBe(!problem.includes("one-shot"));
  }
});

test("bench tune: every variant agrees with the untuned one; with --quick nothing is kept", async () => {
  const result = await json<
    About & {
      rows: { shapeClass: string; tried: number; untuned: number; tuned: number; variant: object | string }[];
    }
  >("tune", "--quick", "--only", "dense 1000×64·64×10", "--candidates", "2");
  expectAbout(result, "tune");
  expect(new Set(result.rows.map(({ shapeClass }) => shapeClass)).size).toBe(result.rows.length);
  expect(result.rows.length).toBeGreaterThan(1);
  for (const { tried, untuned, tuned, variant } of result.rows) {
    expect(tried).toBeGreaterThan(1);
    expect(tuned).toBeLessThanOrEqual(untuned);
    expect(variant).toBeTruthy();
  }
});

test("bench all runs the parts asked for, says how each went, and lists none as wrong usage", async () => {
  const { code, stdout, stderr } = await hypergrad(["bench", "all", "--quick", "--only", "hypergradient"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^hypergradient +done +\d+\.\d$/m);
  expect(stdout).toMatch(/hvp \/ gradient/);
  const none = await hypergrad(["bench", "all", "--only", "nothing"]);
  expect(none.code).toBe(2);
  expect(none.stderr).toMatch(/--only nothing: no name contains that.*\n {2}tune\n {2}tests\n {2}kernels\n/);
});

test("bench peers: hypergrad's own row agrees with the float64 reference", async () => {
  const { peers, ...about } = await json<
    About & { peers: { peer: string; rows: { estimator: string; seconds: number; error: number }[] }[] }
  >("peers", "--only", "hypergrad", "--runs", "5");
  expectAbout(about, "peers");
  expect(peers.map(({ peer }) => peer)).toEqual(["hypergrad"]);
  expect(peers[0]!.rows.map(({ estimator }) => estimator)).toEqual(["rmd", "krmd5", "greedy0.9"]);
  for (const { estimator, seconds, error } of peers[0]!.rows) {
    expect(seconds).toBeGreaterThan(0);
    expect(error, estimator).toBeLessThan(1e-4);
  }
});

test("bench without a name, or with a wrong one, is exit code 2 and lists them", async () => {
  for (const args of [[], ["kernel"]]) {
    const { code, stderr } = await hypergrad(["bench", ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain("hypergradient");
  }
});
