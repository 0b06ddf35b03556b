import { Gpu, check, random } from "/tmp/review/lib.ts";
import { graph } from "/tmp/review/fuzz.ts";
const from = Number(process.env.FROM ?? 0), count = Number(process.env.COUNT ?? 6);
for (let seed = from; seed < from + count; seed++) {
  const { P, H, loss } = graph(seed);
  const v = (x: any) => Object.fromEntries(Object.entries(x).map(([k, q]) => [k, random(q as any)]));
  const kinds: any = [{}, { kind: "hardware", subgroupSize: undefined, buffers: 8 }];
  const gpu: any = await Gpu.open({ adapter: "swiftshader" } as any);
  gpu.traits = { ...gpu.traits, ...kinds[seed % 2] };
  await check("seed " + seed, gpu, { parameters: v(P), hyper: v(H), data: { d: random([4, 4]), y: { shape: [4], data: Int32Array.from([1, 3, 0, 2]) } }, loss, ...(seed % 3 === 0 && {lanes: 1}) });
  gpu.close();
}
