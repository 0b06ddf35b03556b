import type { AdapterRequest, Candidate, Candidates, Tried } from "./candidates.ts";
import { dawnAdapters, releaseDawn } from "./dawn.ts";
import { AdapterError } from "./errors.ts";
import { launch } from "./launch.ts";
import { navigatorAdapters } from "./navigator.ts";
import { pollGently } from "./polling.ts";
import { environment, type Runtime, runtime } from "./runtime.ts";

export type { AdapterRequest } from "./candidates.ts";
export { AdapterError } from "./errors.ts";

export type AdapterKind = "hardware" | "lavapipe" | "swiftshader" | "software";

export interface AdapterChoice {
  kind: AdapterKind;
  /** Threads of every subgroup, where WGSL has subgroups and they are of one size. */
  subgroupSize?: number;
  adapter: GPUAdapter;
  /** The adapter's name for people. */
  description: string;
  /** Runs on the CPU. */
  software: boolean;
  /** Why this one and no other. */
  why: string;
  /** Dawn's toggles that were asked for. */
  toggles: string[];
  features: string[];
  limits: Record<string, number>;
  runtime: Runtime;
}

export interface AdapterOptions {
  /**
   * "auto": a real GPU, then a software driver of the system, then the SwiftShader that npm brought. The
   * others are wishes that are met or refused: "hardware", "software", "lavapipe", "swiftshader" (the
   * bundled one), or a part of the vendor's, the device's or the driver's name. Default: HYPERGRAD_ADAPTER,
   * else "auto".
   */
  adapter?: AdapterRequest;
  /** Dawn's toggles by name, `-name` to turn one off. Node only. */
  toggles?: string[];
}

/**
 * Chooses the adapter to compute on.
 *
 * @throws AdapterError when none fits; its message says what was tried and what to install
 */
export async function requestAdapter(options: AdapterOptions = {}): Promise<AdapterChoice> {
  const request = options.adapter ?? launch()?.adapter ?? environment("HYPERGRAD_ADAPTER") ?? "auto";
  const toggles = options.toggles ?? [];
  const tried: Tried = [];
  const candidates: Candidates = runtime() === "node" ? dawnAdapters : navigatorAdapters;
  for await (const candidate of candidates(request, toggles, tried)) {
    const choice = describe(candidate, request, toggles);
    if (fits(choice, request)) {
      if (choice.software && choice.runtime === "node") pollGently();
      return choice;
    }
    const line = `${candidate.source}: ${choice.description} is ${choice.software ? "a software" : "a hardware"} adapter`;
    if (!tried.includes(line)) tried.push(line);
  }
  throw new AdapterError(
    [
      request === "auto" ? "no adapter for WebGPU." : `no adapter for WebGPU that fits "${request}".`,
      "Tried:",
      ...tried.map((line) => `  ${line.replaceAll("\n", "\n  ")}`),
      "To do:",
      ...advice(request).map((line) => `  ${line}`),
    ].join("\n"),
  );
}

/**
 * Lets go of the GPU. Destroy the devices first. Dawn may still keep Node alive: end the program with
 * `finish`.
 */
export function releaseGpu(): void {
  releaseDawn();
}

function fits(choice: AdapterChoice, request: AdapterRequest): boolean {
  switch (request) {
    case "auto":
      return true;
    case "hardware":
      return !choice.software;
    case "software":
      return choice.software;
    case "lavapipe":
    case "swiftshader":
      return choice.kind === request;
    default:
      return nameOf(choice.adapter.info).toLowerCase().includes(request.toLowerCase());
  }
}

function nameOf(info: GPUAdapterInfo): string {
  return [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ");
}

function kindOf(info: GPUAdapterInfo): AdapterKind {
  const name = nameOf(info).toLowerCase();
  if (name.includes("swiftshader")) return "swiftshader";
  if (/llvmpipe|lavapipe/.test(name)) return "lavapipe";
  const isSoftware = info.isFallbackAdapter || /microsoft basic render|warp|software/.test(name);
  return isSoftware ? "software" : "hardware";
}

function subgroupSizeOf({ features, info }: GPUAdapter): number | undefined {
  const { subgroupMinSize, subgroupMaxSize } = info;
  return features.has("subgroups") && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : undefined;
}

function describe({ adapter, source }: Candidate, request: AdapterRequest, toggles: string[]): AdapterChoice {
  const { info } = adapter;
  const kind = kindOf(info);
  const limits: Record<string, number> = {};
  // Limits are getters of the prototype: a spread does not see them.
  for (const name in adapter.limits) {
    const value: unknown = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") limits[name] = value;
  }
  return {
    adapter,
    description: info.description || nameOf(info),
    kind,
    subgroupSize: subgroupSizeOf(adapter),
    software: kind !== "hardware",
    why: why(kind, source, request),
    toggles,
    features: [...adapter.features].map(String).sort(),
    limits,
    runtime: runtime(),
  };
}

function why(kind: AdapterKind, source: string, request: AdapterRequest): string {
  if (request !== "auto") return `"${request}" was asked for; from ${source}`;
  if (kind === "hardware") return `a real GPU, from ${source}`;
  if (source.startsWith("SwiftShader")) return `no real GPU and no software driver of the system: ${source}`;
  return `no real GPU: the software driver from ${source}`;
}

function advice(request: AdapterRequest): string[] {
  if (runtime() === "browser") {
    return ["Open the page in a browser with WebGPU (chrome://gpu says whether it is on)."];
  }
  const lines =
    process.platform === "linux"
      ? [
          "NVIDIA: install the driver with its Vulkan part, and the package libvulkan1.",
          "AMD and Intel: install mesa-vulkan-drivers, which also brings the software driver lavapipe (Mesa 23 or later).",
        ]
      : ["Install the current driver of the GPU."];
  if (request !== "auto" && request !== "swiftshader") {
    lines.push(
      "Or take what there is: leave --adapter and HYPERGRAD_ADAPTER away. HYPERGRAD_ADAPTER=swiftshader needs only npm.",
    );
  } else if (process.platform === "linux" && process.arch === "x64") {
    lines.push(
      "Without a GPU: install npm's @sparticuz/chromium, which carries the software driver SwiftShader.",
    );
  }
  return lines;
}
