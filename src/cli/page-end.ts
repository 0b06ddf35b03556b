import type { End } from "./process-end.ts";

type Method = (this: unknown, ...values: unknown[]) => unknown;

/** What a script waits for in a page: methods of the platform that return promises, by their classes. */
const awaited: Readonly<Record<string, readonly string[]>> = {
  GPU: ["requestAdapter"],
  GPUAdapter: ["requestDevice"],
  GPUDevice: ["createComputePipelineAsync", "createRenderPipelineAsync", "popErrorScope"],
  GPUQueue: ["onSubmittedWorkDone"],
  GPUBuffer: ["mapAsync"],
  GPUShaderModule: ["getCompilationInfo"],
  SubtleCrypto: ["digest"],
  Response: ["arrayBuffer", "blob", "json", "text"],
  Blob: ["arrayBuffer", "text"],
};

/** Milliseconds in which nothing begins or ends where nothing is left to do. */
const MOMENT = 50;

/** What the script waits for. */
class Waiting {
  /** Beginnings and ends. */
  changes = 0;
  readonly #things = new Set<unknown>();

  get isEmpty(): boolean {
    return this.#things.size === 0;
  }

  add(thing: unknown): void {
    this.changes++;
    this.#things.add(thing);
  }

  remove(thing: unknown): void {
    this.changes++;
    this.#things.delete(thing);
  }
}

/** The end of a page: no event tells that nothing is left to do, so what the script waits for is counted. */
export function pageEnd(): End {
  const waiting = new Waiting();
  const page = globalThis as unknown as Record<string, Method>;
  const wait = page.setTimeout!;
  for (const [name, methods] of Object.entries(awaited)) {
    const { prototype } = (page[name] ?? {}) as { prototype?: Record<string, Method> };
    if (prototype) for (const method of methods) prototype[method] = counted(prototype[method]!, waiting);
  }
  page.fetch = counted(page.fetch!, waiting);
  countTimers(page, waiting);
  return {
    failed: failure(),
    async done() {
      let seen: number;
      do {
        seen = waiting.changes;
        await new Promise<void>((resolve) => void wait(resolve, MOMENT));
      } while (!waiting.isEmpty || waiting.changes !== seen);
    },
  };
}

function counted(method: Method, waiting: Waiting): Method {
  return function (...values) {
    const result = method.apply(this, values) as Promise<unknown>;
    const forget = () => waiting.remove(result);
    waiting.add(result);
    result.then(forget, forget);
    return result;
  };
}

function countTimers(page: Record<string, Method>, waiting: Waiting): void {
  const { setTimeout, clearTimeout } = page as { setTimeout: Method; clearTimeout: Method };
  page.setTimeout = (callback, ...rest) => {
    const run = (...values: unknown[]) => {
      waiting.remove(timer);
      (callback as Method)(...values);
    };
    const timer = setTimeout(run, ...rest);
    waiting.add(timer);
    return timer;
  };
  page.clearTimeout = (timer) => {
    waiting.remove(timer);
    clearTimeout(timer);
  };
}

function failure(): Promise<never> {
  return new Promise((_, reject) => {
    addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      reject(event.reason);
    });
    addEventListener("error", (event) => {
      event.preventDefault();
      reject(event.error);
    });
  });
}
