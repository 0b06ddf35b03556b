import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { check, firstOf } from "../../bench/peers/agreement.mjs";
import { firstValues, generate } from "../../bench/peers/generate.mjs";
import { decode, encode, parameterShapes, warpNames, workloads } from "../../bench/peers/workload.mjs";
import { size } from "../../src/graph/shape.ts";
import { convNet, splitLayers } from "../../src/nn/conv_net.ts";
import { hypergrad, start } from "../cli/launcher.ts";

const convolutional = Object.values(workloads).filter(({ layers }) => layers !== undefined);

function bytes({ buffer }: Float32Array | Int32Array): Buffer {
  return Buffer.from(buffer);
}

describe("the peers' workloads", () => {
  test.each(convolutional)("$name: the network is convNet's, layer by layer", (workload) => {
    const { image, layers, warp = [], classes } = workload;
    const { parameters } = convNet({ image: image!, layers: layers!, classes });
    const shapes = parameterShapes(workload);
    expect(Object.keys(shapes)).toEqual(Object.keys(parameters));
    for (const [name, { shape }] of Object.entries(parameters)) expect(shapes[name], name).toEqual(shape);
    expect(warpNames(workload)).toEqual(Object.keys(splitLayers(parameters, warp).chosen));
  });

  test.each(convolutional)("$name: weights have the variance 2 / inputs, biases are zero", (workload) => {
    const shapes = parameterShapes(workload);
    for (const [name, numbers] of Object.entries(firstValues(workload))) {
      const shape = shapes[name]!;
      expect(numbers.length).toBe(size(shape));
      const variance = numbers.reduce((sum, value) => sum + value ** 2, 0) / numbers.length;
      const inputs = size(shape) / shape[0]!;
      // Of n numbers the variance is off by about √(2 / n) of itself.
      if (name.startsWith("weight"))
        expect(Math.abs((variance * inputs) / 2 - 1), name).toBeLessThan(6 / Math.sqrt(numbers.length));
      else expect(variance, name).toBe(0);
    }
  });

  test.each(Object.values(workloads))(
    "$name: the data is the same each time, and of its size",
    (workload) => {
      const { tasks, train, val, inputs = 784, classes } = workload;
      const data = generate(workload);
      expect(data.trainX.length).toBe(tasks * train * inputs);
      expect(data.valX.length).toBe(tasks * val * inputs);
      for (const [labels, count] of [
        [data.trainY, train],
        [data.valY, val],
      ] as const) {
        expect(labels.length).toBe(tasks * count);
        expect(new Set(labels)).toEqual(new Set(Array.from({ length: classes }, (_, label) => label)));
      }
      const again = generate(workload);
      for (const part of ["trainX", "trainY", "valX", "valY"] as const)
        expect(Buffer.compare(bytes(again[part]), bytes(data[part])), part).toBe(0);
    },
  );
});

describe("their agreement", () => {
  const result = (peer: string, ...numbers: number[]) => ({
    peer,
    rows: [{ estimator: "rmd", hypergradient: encode(numbers) }],
  });

  test("an error is ‖h − expected‖ / ‖expected‖, and infinite where numbers are missing or none", () => {
    const expected = { of: "float64", values: { rmd: [3, 0, 4] } };
    const errorOf = (...numbers: number[]) => check(result("a", ...numbers), expected).rows![0]!.error;
    expect(errorOf(3, 0, 4)).toBe(0);
    expect(errorOf(3, 0.5, 4)).toBeCloseTo(0.1, 7);
    expect(errorOf(3, 0)).toBe(Number.POSITIVE_INFINITY);
    expect(errorOf(3, Number.NaN, 4)).toBe(Number.POSITIVE_INFINITY);
    expect(check({ peer: "a", rows: [{ estimator: "rmd" }] }, expected).rows![0]!.error).toBe(
      Number.POSITIVE_INFINITY,
    );
  });

  test("without float64 the others are compared with the first peer that has numbers", () => {
    const expected = firstOf([{ peer: "absent" }, result("a", 1, 2), result("b", 1, 2)]);
    expect(expected.of).toBe("a");
    expect(check(result("a", 1, 2), expected).rows).toEqual([{ estimator: "rmd" }]);
    expect(check(result("b", 1, 2), expected).rows).toEqual([{ estimator: "rmd", error: 0 }]);
    expect([...decode(encode([1, 2.5]))]).toEqual([1, 2.5]);
  });
});

describe("the peers in Python", () => {
  const folder = mkdtempSync(join(tmpdir(), "hypergrad-python-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** python.mjs with a program in place of Python: sh's `body`, where "$@" are the arguments. */
  async function run(peer: string, body: string) {
    const python = join(folder, "python");
    writeFileSync(python, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    const env = { PYTHON: python, PEER_WORKLOAD: "few-shot" };
    const { code, stdout, stderr } = await start(
      process.execPath,
      ["bench/peers/python.mjs", peer, "--flag"],
      { env },
    );
    expect(code, stderr).toBe(0);
    return stdout.trim().split("\n");
  }

  test.each([
    ["torch", "torch_peer.py", "torch"],
    ["torch-compile", "torch_peer.py", "torch"],
    ["jax-jit", "jax_peer.py", "jax"],
  ])("%s: the Python that imports the library gets the workload, once", async (peer, script, library) => {
    const asked = `[ "$1" = -c ] && { [ "$2" = "import ${library}, numpy" ]; exit; }`;
    const [given, about] = await run(peer, `${asked}\necho "$@"\ncat "$3/workload.json"`);
    const [, path, dumped, ...rest] = given!.split(" ");
    expect(basename(path!)).toBe(script);
    expect(rest).toEqual([peer, "--flag"]);
    expect(JSON.parse(about!)).toMatchObject({ name: "few-shot", hyper: warpNames(workloads["few-shot"]!) });
    expect(existsSync(dumped!)).toBe(false);
  });
});

test("--workload with a wrong name is exit code 2 and lists the names", async () => {
  const { code, stderr } = await hypergrad(["bench", "peers", "--workload", "few"]);
  expect(code).toBe(2);
  for (const name of Object.keys(workloads)) expect(stderr).toContain(name);
});
