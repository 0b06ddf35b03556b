// hypergrad itself as a peer: the workloads as its users state them.
import packageJson from "../../package.json" with { type: "json" };
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd } from "../../src/estimators/krmd.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { pixels } from "../../src/graph/pixels.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { perLane, type Values, values } from "../../src/graph/values.ts";
import { convNet, splitLayers } from "../../src/nn/conv_net.ts";
import { linear, type Model } from "../../src/nn/models.ts";
import { cleaning, examples } from "../cleaning.ts";
import { deviceOf } from "./device.ts";
import { firstValues, generate } from "./generate.mjs";
import { report } from "./measure.mjs";
import { parameterShapes, type Workload, warpNames } from "./workload.mjs";

/** Times one hypergradient with its inner run, from the submit until its numbers are on the host. */
export async function ownRow(workload: Workload): Promise<void> {
  const problem = workload.warp ? fewShot(workload) : hyperCleaning(workload);
  const groups = workload.warp ? warpNames(workload) : ["weight"];
  const gpu = await Gpu.open();
  const prepared = await Promise.all(
    workload.estimators.map(async ({ name, k, gamma }) => {
      const estimator = gamma === undefined ? krmd({ k: k! }) : greedy({ gamma });
      return [name, await OuterLoop.prepare(problem, { gpu, estimator })] as const;
    }),
  );
  const loops = new Map(prepared);
  const peer = {
    peer: "hypergrad",
    version: packageJson.version,
    backend: "webgpu (dawn)",
    adapter: gpu.choice.description,
    device: deviceOf(gpu.choice),
  };
  await report(workload, peer, ({ name }) => {
    const loop = loops.get(name)!;
    return async () => {
      const [, h] = await Promise.all([loop.step({ restart: true }), loop.hypergradient()]);
      return joined(groups.map((group) => h[group]!.data));
    };
  });
}

function joined(parts: readonly ArrayLike<number>[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function hyperCleaning(workload: Workload): Problem<string, string> {
  const { trainX, trainY, valX, valY } = generate(workload);
  const { layers, inputs, classes } = workload;
  const part = (x: Float32Array, labels: Int32Array) =>
    layers
      ? examples({ images: x, labels }, values)
      : examples({ images: withoutColumn(x, inputs!), labels }, pixels);
  return cleaning<string>({
    ...workload,
    model: layers ? network(workload) : linear(inputs! - 1, classes),
    train: part(trainX, trainY),
    val: part(valX, valY),
  });
}

/** Without the last one, a constant 1; here it is the layer's bias. */
function withoutColumn(x: Float32Array, columns: number): Float32Array {
  return x.filter((_, i) => i % columns !== columns - 1);
}

/** The tasks are lanes. */
function fewShot(workload: Workload): Problem<string, string> {
  const { tasks, steps, lr, momentum } = workload;
  const { trainX, trainY, valX, valY } = generate(workload);
  const model = network(workload);
  const { chosen: warp, others: trained } = splitLayers(model.parameters, workload.warp!);
  const data = (x: Float32Array, y: Int32Array) => ({
    x: perLane(values(x, [tasks, y.length / tasks, x.length / y.length])),
    y: perLane(values(y, [tasks, y.length / tasks])),
  });
  type Named = Readonly<Record<string, Tensor>>;
  const loss = (w: Named, layers: Named, { x, y }: Named) =>
    mean(crossEntropy(model.apply({ ...w, ...layers }, x!), y!));
  return bilevel({
    lanes: tasks,
    parameters: trained,
    hyper: warp,
    inner: { data: data(trainX, trainY), loss, steps, optimizer: sgd({ lr, momentum }) },
    outer: { data: data(valX, valY), loss },
  });
}

/** The convolutions and the dense layer, with the first values that all peers have. */
function network(workload: Workload): Model<string> {
  const { image, layers, classes } = workload;
  const shapes = parameterShapes(workload);
  const parameters: Record<string, Values> = {};
  for (const [name, data] of Object.entries(firstValues(workload)))
    parameters[name] = values(data, shapes[name]);
  // convNet pools before relu: that gives the same, with less to do.
  return { ...convNet({ image: image!, layers: layers!, classes }), parameters };
}
