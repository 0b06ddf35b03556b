import { afterEach, describe, expect, test, vi } from "vitest";
import { hypergradient, optimize } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { DeviceLostError, HypergradError, OutOfMemoryError, ValidationError } from "../../src/gpu/errors.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { ProblemError } from "../../src/gpu/problem_error.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { elementwise } from "../../src/graph/operations/elementwise.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import type { Values } from "../../src/graph/values.ts";
import { values } from "../../src/graph/values.ts";
import { hypercleaning, problem } from "../bilevel/problems.ts";
import { withGpu } from "../support/gpu.ts";

const shared = withGpu(
  (adapter) =>
    `lost devices, failed allocations and refused shaders reach the next await, typed, on ${adapter}`,
);

const opened: Gpu[] = [];
async function open(): Promise<Gpu> {
  const gpu = await Gpu.open();
  opened.push(gpu);
  return gpu;
}
afterEach(() => {
  for (const gpu of opened.splice(0)) gpu.close();
});

const stated = () => problem(hypercleaning, { momentum: 0.5 });

/** What a promise is rejected with; fails when it gives something, or nothing at all for ten seconds. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve("nothing for ten seconds"), 10_000);
  });
  const outcome = await Promise.race([
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    late,
  ]);
  clearTimeout(timer);
  expect(outcome).toHaveProperty("error");
  return (outcome as { error: unknown }).error;
}

describe("a device that goes away", () => {
  test("before a step", async () => {
    const gpu = await open();
    const loop = await OuterLoop.prepare(stated(), { gpu, estimator: rmd() });
    await loop.step({ restart: true });
    gpu.device.destroy();
    expect(await rejection(loop.step({ restart: true }))).toBeInstanceOf(DeviceLostError);
    expect(await rejection(loop.hypergradient())).toBeInstanceOf(DeviceLostError);
    expect(await rejection(loop.parameters())).toBeInstanceOf(DeviceLostError);
    loop.destroy();
  });

  test("while a step is under way", async () => {
    const gpu = await open();
    const loop = await OuterLoop.prepare(stated(), { gpu, estimator: greedy({ gamma: 0.9 }) });
    const step = loop.step({ restart: true });
    gpu.device.destroy();
    const error = await rejection(step);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect((error as Error).message).toMatch(/the GPU device was lost .*Open a new one/);
  });

  test("between submits whose news nobody awaits yet", async () => {
    const gpu = await open();
    const loop = await OuterLoop.prepare(stated(), { gpu, estimator: rmd(), every: 3 });
    await loop.step({ restart: true });
    gpu.device.destroy();
    const steps = (async () => {
      await loop.step({ restart: true });
      await loop.step({ restart: true });
    })();
    expect(await rejection(steps)).toBeInstanceOf(DeviceLostError);
  });

  test("while α is optimized", async () => {
    const gpu = await open();
    const run = (async () => {
      const options = { gpu, estimator: rmd(), optimizer: adam({ lr: 0.1 }), steps: 100 };
      for await (const { index } of optimize(stated(), options)) if (index === 3) gpu.device.destroy();
    })();
    expect(await rejection(run)).toBeInstanceOf(DeviceLostError);
  });

  test("before anything is built on it", async () => {
    const gpu = await open();
    gpu.device.destroy();
    expect(await rejection(hypergradient(stated(), { gpu, estimator: rmd() }))).toBeInstanceOf(
      DeviceLostError,
    );
  });

  test("while it is built on", async () => {
    const gpu = await open();
    const run = hypergradient(stated(), { gpu, estimator: rmd() });
    gpu.device.destroy();
    expect(await rejection(run)).toBeInstanceOf(DeviceLostError);
  });

  test("closing on purpose raises nothing; whoever goes on is told", async () => {
    const gpu = await open();
    const loop = await OuterLoop.prepare(stated(), { gpu, estimator: rmd() });
    await loop.step({ restart: true });
    loop.destroy();
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    gpu.close();
    gpu.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.off("unhandledRejection", unhandled);
    expect(unhandled).not.toHaveBeenCalled();
    const error = await rejection(hypergradient(stated(), { gpu, estimator: rmd() }));
    expect(error).toBeInstanceOf(DeviceLostError);
    expect((error as Error).message).toBe("the device was closed: open another one");
  });
});

/** Sends an error the way a device does whose command failed outside every scope. */
function dispatchError(gpu: Gpu, type: "GPUOutOfMemoryError" | "GPUValidationError", message: string): void {
  const kind = globalThis[type];
  const event = new GPUUncapturedErrorEvent("uncapturederror", { error: new kind(message) });
  gpu.device.dispatchEvent(event);
}

describe("memory that the adapter does not have", () => {
  test("an allocation that fails is undone, and the device goes on", async () => {
    const gpu = await open();
    const scope = vi
      .spyOn(gpu.device, "popErrorScope")
      .mockResolvedValueOnce(new GPUOutOfMemoryError("no memory left."));
    const error = await rejection(hypergradient(stated(), { gpu, estimator: rmd() }));
    scope.mockRestore();
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect((error as Error).message).toMatch(
      /no memory left\. Ask for less: a smaller K, fewer lanes, or greedy\(\)/,
    );
    expect(
      (await hypergradient(stated(), { gpu, estimator: greedy({ gamma: 0.9 }) })).outerLoss,
    ).toBeGreaterThan(0);
  });

  test("an error outside an allocation", async () => {
    const gpu = await open();
    const loop = await OuterLoop.prepare(stated(), { gpu, estimator: rmd() });
    dispatchError(gpu, "GPUOutOfMemoryError", "no memory left.");
    expect(await rejection(loop.step({ restart: true }))).toBeInstanceOf(OutOfMemoryError);
    expect(await rejection(loop.hyper())).toBeInstanceOf(OutOfMemoryError);
  });
});

describe("what WebGPU refuses", () => {
  test("an error that nobody caught comes with the next await", async () => {
    const gpu = await open();
    const loop = await OuterLoop.prepare(stated(), { gpu, estimator: rmd() });
    const step = loop.step({ restart: true });
    dispatchError(gpu, "GPUValidationError", "not valid");
    const error = await rejection(step);
    expect(error).toBeInstanceOf(ValidationError);
    expect((error as Error).message).toBe("not valid");
  });

  test("a malformed expression, with the compiler's words and the kernel's code; the device goes on", async () => {
    const gpu = shared();
    const broken = elementwise("broken", { f: "x +", df: "1.0", ddf: "0.0" });
    const sound = elementwise("sound", { f: "x * 3.0", df: "3.0", ddf: "0.0" });
    const of = (operation: typeof broken) =>
      differentiate(gpu, { parameters: { x: values([1, 2]) }, loss: ({ x }) => sum(operation(x)) });
    const error = await rejection(of(broken));
    expect(error).toBeInstanceOf(ValidationError);
    expect((error as Error).message).toMatch(/kernel "broken.*was refused[\s\S]*fn main/);
    const f = await of(sound);
    expect([...(await f.value())]).toEqual([9]);
    f.destroy();
  });
});

test.each([
  [{ memory: "1GB" }, 'memory is the text "1GB": give a number > 0, or leave it out'],
  [{ submitSeconds: 0 }, "submitSeconds is the number 0: give a number > 0"],
  [{ memry: 1e9 }, 'Gpu.open takes no "memry"; there are adapter, toggles, memory, submitSeconds, variants'],
  [
    "lavapipe",
    'Gpu.open takes { adapter, toggles, memory, submitSeconds, variants }, not the text "lavapipe"',
  ],
])("Gpu.open(%j) is refused", async (options, message) => {
  const error = await rejection(Gpu.open(options as never));
  expect(error).toBeInstanceOf(ProblemError);
  expect((error as Error).message).toContain(message);
});

test("results that are read too late are refused, and the device goes on", async () => {
  const gpu = shared();
  let late: (() => Promise<Record<string, Values>>) | undefined;
  for await (const step of optimize(stated(), {
    gpu,
    estimator: rmd(),
    optimizer: adam({ lr: 0.1 }),
    steps: 2,
  })) {
    late = step.hyper;
    break;
  }
  const error = await rejection(late!());
  expect(error).toBeInstanceOf(HypergradError);
  expect((error as Error).message).toMatch(/buffers of this run are freed: read results before it ends/);
  expect((await hypergradient(stated(), { gpu, estimator: rmd() })).outerLoss).toBeGreaterThan(0);
});
