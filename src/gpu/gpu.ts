import type { AdapterTraits, Variants } from "../../shaders/variants.ts";
import { type AdapterChoice, AdapterError, type AdapterOptions, requestAdapter } from "../host/gpu.ts";
import { systemMemory } from "../host/runtime.ts";
import type { Access, Dispatch } from "./dispatch.ts";
import { DeviceLostError, HypergradError, OutOfMemoryError, ValidationError } from "./errors.ts";
import { kindOf } from "./kind.ts";
import { assertKnown } from "./known.ts";
import type { MemoryLimits } from "./memory.ts";
import { ProblemError } from "./problem_error.ts";
import { tunedVariants } from "./tuned.ts";
import { SUBMIT_SECONDS } from "./watchdog.ts";

export interface OpenOptions extends AdapterOptions {
  /**
   * Most bytes one plan may take; a plan over it is refused with a MemoryError. Default: on a software adapter three
   * quarters of the machine's memory; on a GPU what the limits of buffers allow, as WebGPU does not tell its memory.
   */
  memory?: number;
  /**
   * Most seconds of work in one submit, by a prediction for slow GPUs; longer runs are cut. Default: 0.5, which no
   * watchdog minds, and no limit for a software adapter outside of browsers, where there is none.
   */
  submitSeconds?: number;
  /** Which variant of a kernel to take, instead of what a tuner found. */
  variants?: Variants;
}

const KNOWN = { adapter: true, toggles: true, memory: true, submitSeconds: true, variants: true };

/** What the engine has asked of WebGPU so far; a steady-state outer step moves `submits` alone. */
export interface Counters {
  buffers: number;
  bindGroups: number;
  pipelines: number;
  submits: number;
  dispatches: number;
}

/** A software adapter's memory is the machine's, of which others need some too. */
function softwareMemory(): number | undefined {
  const all = systemMemory();
  return all && Math.floor(0.75 * all);
}

/** Pipelines kept for the next plan: a device that makes plan after plan must not grow without end. */
export const PIPELINES = 512;

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const bufferTypes: Readonly<Record<Access, GPUBufferBindingType>> = {
  read: "read-only-storage",
  write: "storage",
  overwrite: "storage",
  uniform: "uniform",
};

/** A device, its pipelines, and the first error it met. Every GPU object of the engine is made through here. */
export class Gpu {
  readonly device: GPUDevice;
  readonly choice: AdapterChoice;
  /** Most bytes that a plan may take, where that is known. */
  readonly memory: number | undefined;
  readonly submitSeconds: number;
  /** What kernels are chosen by. */
  readonly traits: AdapterTraits;
  readonly counters: Counters = { buffers: 0, bindGroups: 0, pipelines: 0, submits: 0, dispatches: 0 };
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  #failure: HypergradError | undefined;

  /**
   * Opens the best adapter there is, with all its limits.
   * @throws AdapterError when there is none, saying what was tried and what to install; ProblemError for options that
   * there are not.
   */
  static async open(options: OpenOptions = {}): Promise<Gpu> {
    assertKnown("Gpu.open", options, KNOWN);
    const { memory, submitSeconds } = options;
    for (const [name, most] of Object.entries({ memory, submitSeconds })) {
      if (most !== undefined && !(typeof most === "number" && most > 0))
        throw new ProblemError(`${name} is ${kindOf(most)}: give a number > 0, or leave it out`);
    }
    const { choice, device } = await connect(options).catch((error: unknown) => {
      if (error instanceof AdapterError) throw error;
      // An adapter may expire before its device is asked for, as when Chromium's GPU process starts anew: ask once more
      // (https://www.w3.org/TR/webgpu/#dom-gpuadapter-requestdevice).
      return connect(options);
    });
    return new Gpu(device, choice, {
      ...options,
      variants: options.variants ?? (await tunedVariants(choice)),
    });
  }

  private constructor(
    device: GPUDevice,
    choice: AdapterChoice,
    { memory, submitSeconds, variants }: OpenOptions,
  ) {
    this.device = device;
    this.choice = choice;
    this.memory = memory ?? (choice.software ? softwareMemory() : undefined);
    const { maxStorageBuffersPerShaderStage: buffers } = device.limits;
    this.traits = { kind: choice.kind, subgroupSize: choice.subgroupSize, variants, buffers };
    const watched = !choice.software || choice.runtime === "browser";
    this.submitSeconds = submitSeconds ?? (watched ? SUBMIT_SECONDS : Infinity);
    device.addEventListener("uncapturederror", (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      this.#fail(
        error.constructor.name === "GPUOutOfMemoryError"
          ? new OutOfMemoryError(outOfMemory(error.message))
          : new ValidationError(error.message),
      );
    });
    void device.lost.then((info) => {
      this.#fail(
        new DeviceLostError(
          `the GPU device was lost (${info.message || info.reason}). Open a new one; if a driver's watchdog found one submit too long, Gpu.open({ submitSeconds }) with less than ${this.submitSeconds} cuts it.`,
        ),
      );
    });
  }

  /** What a plan is held against. */
  get limits(): MemoryLimits {
    const { maxBufferSize: buffer, maxStorageBufferBindingSize: binding } = this.device.limits;
    return { buffer, binding, ...(this.memory !== undefined && { total: this.memory }) };
  }

  #fail(error: HypergradError): void {
    this.#failure ??= error;
  }

  /** @throws the first error the device has met, if any. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when all submitted work is done. @throws like `check`. */
  async settle(): Promise<void> {
    await this.#answer(this.device.queue.onSubmittedWorkDone());
  }

  /** Copies a staging buffer out once the work before it is done. @throws like `check`. */
  async read(staging: GPUBuffer): Promise<ArrayBuffer> {
    await this.#answer(staging.mapAsync(GPUMapMode.READ));
    const bytes = staging.getMappedRange().slice(0);
    staging.unmap();
    return bytes;
  }

  /** What a promise of the device gives. @throws the device's first error rather than what the promise says. */
  async #answer<T>(promise: Promise<T>): Promise<T> {
    const answer = await promise.catch(async (cause: unknown) => {
      // That a device is lost may be told just after what it owed was rejected.
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 100))]);
      this.check();
      throw new HypergradError(`the GPU gave no answer: ${String(cause)}`, { cause });
    });
    this.check();
    return answer;
  }

  /**
   * Makes buffers all at once or not at all. @throws OutOfMemoryError, after which the device is as it was before.
   */
  async buffers(list: readonly GPUBufferDescriptor[]): Promise<GPUBuffer[]> {
    this.check();
    this.device.pushErrorScope("out-of-memory");
    const made = list.map(({ label, size, usage }) => this.buffer(label ?? "", size, usage));
    const error = await this.#answer(this.device.popErrorScope());
    if (error === null) return made;
    for (const buffer of made) buffer.destroy();
    throw new OutOfMemoryError(outOfMemory(error.message));
  }

  buffer(label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    this.counters.buffers++;
    return this.device.createBuffer({ label, size, usage });
  }

  bindGroup(label: string, layout: GPUBindGroupLayout, entries: GPUBindGroupEntry[]): GPUBindGroup {
    this.counters.bindGroups++;
    return this.device.createBindGroup({ label, layout, entries });
  }

  submit(commands: GPUCommandBuffer): void {
    this.counters.submits++;
    this.device.queue.submit([commands]);
  }

  /**
   * The compiled pipeline of a dispatch; equal code with equal bindings is compiled once.
   * @throws ValidationError with the compiler's message.
   */
  pipeline(dispatch: Dispatch): Promise<Pipeline> {
    const signature = dispatch.bindings.map(
      ({ binding, access, resource }) => `${binding}${bufferTypes[access]}${resource.dynamic ? "*" : ""}`,
    );
    const key = `${signature.join()}\n${dispatch.code}`;
    const made = this.#pipelines.get(key) ?? this.#compile(dispatch);
    // The last in the map was asked for last. Whoever runs a pipeline keeps it: what is forgotten is compiled again.
    this.#pipelines.delete(key);
    this.#pipelines.set(key, made);
    for (const oldest of this.#pipelines.keys()) {
      if (this.#pipelines.size <= PIPELINES) break;
      this.#pipelines.delete(oldest);
    }
    return made;
  }

  async #compile({ label, code, bindings }: Dispatch): Promise<Pipeline> {
    this.counters.pipelines++;
    // What is wrong with a shader is this pipeline's error alone: it must not count against the device.
    this.device.pushErrorScope("validation");
    const layout = this.device.createBindGroupLayout({
      label,
      entries: bindings.map(({ binding, access, resource }) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: {
          type: bufferTypes[access],
          hasDynamicOffset: resource.dynamic ?? false,
        },
      })),
    });
    const module = this.device.createShaderModule({ label, code });
    const pipelineLayout = this.device.createPipelineLayout({ bindGroupLayouts: [layout] });
    const refusal = this.device.popErrorScope().catch(() => null);
    try {
      const pipeline = await this.device.createComputePipelineAsync({
        label,
        layout: pipelineLayout,
        compute: { module, entryPoint: "main" },
      });
      return { pipeline, layout };
    } catch (error) {
      this.check();
      const { messages } = await module.getCompilationInfo();
      const details = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join("\n");
      const reason = details || (await refusal)?.message || String(error);
      throw new ValidationError(`kernel "${label}" was refused: ${reason}\n${code}`);
    }
  }

  /** Gives the device back; everything on it is gone, and whoever waits for it gets a DeviceLostError. */
  close(): void {
    this.#fail(new DeviceLostError("the device was closed: open another one"));
    this.device.destroy();
  }
}

/** @throws ProblemError for what is no open device */
export function assertOpen(given: unknown): void {
  if (typeof given === "object" && given !== null && "device" in given && "traits" in given) return;
  throw new ProblemError(`gpu is ${kindOf(given)}: write const gpu = await Gpu.open()`);
}

function outOfMemory(message: string): string {
  return `${message} Ask for less: a smaller K, fewer lanes, or greedy().`;
}

/** The best adapter there is, and a device of it with all its limits. */
async function connect(options: OpenOptions): Promise<{ choice: AdapterChoice; device: GPUDevice }> {
  const choice = await requestAdapter(options);
  const { adapter } = choice;
  const limits = adapter.limits;
  const optional: GPUFeatureName[] = ["timestamp-query", "subgroups"];
  const device = await adapter.requestDevice({
    requiredFeatures: optional.filter((feature) => adapter.features.has(feature)),
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    },
  });
  return { choice, device };
}
