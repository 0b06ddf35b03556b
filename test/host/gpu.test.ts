import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { AdapterError, releaseGpu, requestAdapter } from "../../src/host/gpu.ts";

// Drivers that the environment names stand in for the system's.
const named = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
const hasSystemLavapipe =
  named?.includes("lvp_icd") ??
  ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].some((folder) =>
    ["lvp_icd.json", "lvp_icd.x86_64.json"].some((file) => existsSync(`${folder}/${file}`)),
  );

describe("requestAdapter", () => {
  test("always finds one, and says which and why", async () => {
    const choice = await requestAdapter({ adapter: "auto" });
    expect(choice.runtime).toBe("node");
    expect(choice.description).not.toBe("");
    expect(choice.why).not.toBe("");
    expect(choice.software).toBe(choice.kind !== "hardware");
    expect(choice.limits.maxBufferSize).toBeGreaterThan(0);
    expect(GPUBufferUsage.STORAGE).toBe(0x80);
  });

  test("gives the bundled SwiftShader beside any other driver, and the others again after it", async () => {
    const drivers = process.env.VK_DRIVER_FILES;
    const before = await requestAdapter({ adapter: "auto" });
    const bundled = await requestAdapter({ adapter: "swiftshader" });
    const after = await requestAdapter({ adapter: "auto" });
    expect(bundled).toMatchObject({ kind: "swiftshader", software: true });
    expect(after.description).toBe(before.description);
    expect(process.env.VK_DRIVER_FILES).toBe(drivers);
  });

  test("software is never a real GPU", async () => {
    expect((await requestAdapter({ adapter: "software" })).software).toBe(true);
  });

  test("a part of the name is enough", async () => {
    expect((await requestAdapter({ adapter: "swiftsh" })).kind).toBe("swiftshader");
  });

  test("lavapipe is the system's, or an error that says how to install it", async () => {
    const request = requestAdapter({ adapter: "lavapipe" });
    if (hasSystemLavapipe) {
      expect(await request).toMatchObject({ kind: "lavapipe", software: true });
    } else {
      console.log("no lavapipe on this machine: only its error is tested");
      await expect(request).rejects.toThrow("mesa-vulkan-drivers");
    }
  });

  test("nothing fits: a typed error with what was tried", async () => {
    const error = await requestAdapter({ adapter: "a card nobody has" }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AdapterError);
    expect((error as AdapterError).message).toMatch(/Tried:[\s\S]*SwiftShader[\s\S]*To do:/);
  });

  test("can be released", () => {
    releaseGpu();
  });
});
