import { type AdapterChoice, AdapterError, requestAdapter } from "../host/gpu.ts";
import { note, print } from "../host/terminal.ts";

const count = 1000;

const shader = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&x)) {
    y[id.x] = 3.0 * x[id.x] + y[id.x];
  }
}`;

export interface DoctorOptions {
  /** Print one JSON object. */
  json: boolean;
  adapter?: string | undefined;
  toggles?: string[] | undefined;
}

/**
 * Proves the adapter by a dispatch and a readback, and prints what it is.
 *
 * @returns the exit code: 0 when the device computes what it should
 */
export async function doctor({ json, adapter, toggles }: DoctorOptions): Promise<number> {
  let choice: AdapterChoice;
  try {
    choice = await requestAdapter({ ...(adapter && { adapter }), ...(toggles && { toggles }) });
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error;
    note(error.message);
    if (json) print(JSON.stringify({ ok: false, error: error.message }));
    return 1;
  }
  const proof = await prove(choice.adapter);
  print(json ? asJson(choice, proof) : asText(choice, proof));
  return proof.ok ? 0 : 1;
}

interface Proof {
  ok: boolean;
  /** What was computed and how it came out. */
  says: string;
  milliseconds: number;
}

/** y = 3x + y over numbers that float32 holds exactly, so the result is right or wrong, not close. */
async function prove(adapter: GPUAdapter): Promise<Proof> {
  const start = performance.now();
  const end = (ok: boolean, says: string): Proof => ({ ok, says, milliseconds: performance.now() - start });
  let device: GPUDevice | undefined;
  try {
    device = await adapter.requestDevice();
    const result = await saxpy(device);
    const wrong = result.findIndex((value, i) => value !== 3 * i + 0.5 * i);
    if (wrong < 0) return end(true, `y = 3x + y over ${count} numbers, computed and read back: right`);
    return end(
      false,
      `y = 3x + y over ${count} numbers: wrong at ${wrong}, ${result[wrong]} for ${3.5 * wrong}`,
    );
  } catch (error) {
    return end(false, `the device failed: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    device?.destroy();
  }
}

async function saxpy(device: GPUDevice): Promise<Float32Array> {
  const bytes = count * Float32Array.BYTES_PER_ELEMENT;
  device.pushErrorScope("validation");
  const x = device.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const y = device.createBuffer({
    size: bytes,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
  });
  const staging = device.createBuffer({
    size: bytes,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(
    x,
    0,
    Float32Array.from({ length: count }, (_, i) => i),
  );
  device.queue.writeBuffer(
    y,
    0,
    Float32Array.from({ length: count }, (_, i) => 0.5 * i),
  );
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: shader }) },
  });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [x, y].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(Math.ceil(count / 64));
  pass.end();
  encoder.copyBufferToBuffer(y, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error) throw new Error(error.message);
  await staging.mapAsync(GPUMapMode.READ);
  const result = new Float32Array(staging.getMappedRange().slice(0));
  staging.unmap();
  return result;
}

function asJson({ adapter, ...choice }: AdapterChoice, proof: Proof): string {
  const { vendor, architecture, device, description } = adapter.info;
  return JSON.stringify({
    ok: proof.ok,
    adapter: choice.description,
    ...choice,
    info: { vendor, architecture, device, description },
    dispatch: { count, correct: proof.ok, says: proof.says, milliseconds: proof.milliseconds },
  });
}

function asText(choice: AdapterChoice, proof: Proof): string {
  const rows: [string, string][] = [
    ["adapter", choice.description],
    ["kind", choice.software ? `software (${choice.kind}): it runs on the CPU` : "a real GPU"],
    ["why", choice.why],
    ["runtime", choice.runtime],
    ["dispatch", `${proof.says} (${proof.milliseconds.toFixed(1)} ms with the device's start)`],
    ["toggles", choice.toggles.join(" ") || "none"],
    ["features", choice.features.join(" ")],
    ["limits", ""],
    ...Object.entries(choice.limits).map(([name, value]): [string, string] => [`  ${name}`, String(value)]),
  ];
  const width = (name: string) => (name.startsWith(" ") ? 45 : 10);
  return rows.map(([name, value]) => `${name.padEnd(width(name))}${value}`.trimEnd()).join("\n");
}
