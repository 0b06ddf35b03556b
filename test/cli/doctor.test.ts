import { describe, expect, test } from "vitest";
import { hypergrad, noSystemDriver } from "./launcher.ts";

interface Report {
  ok: boolean;
  adapter: string;
  kind: string;
  software: boolean;
  why: string;
  runtime: string;
  toggles: string[];
  features: string[];
  limits: Record<string, number>;
  dispatch: { count: number; correct: boolean };
}

const report = (stdout: string): Report => JSON.parse(stdout) as Report;

describe("doctor", () => {
  test("prints one JSON object about a device that computes", async () => {
    const { code, stdout, stderr } = await hypergrad(["doctor", "--json"]);
    expect(stderr).not.toContain("error");
    expect(code).toBe(0);
    const { ok, software, dispatch, limits, runtime, why, toggles } = report(stdout);
    expect(ok).toBe(true);
    expect(dispatch).toMatchObject({ count: 1000, correct: true });
    expect(typeof software).toBe("boolean");
    expect(limits.maxComputeInvocationsPerWorkgroup).toBeGreaterThanOrEqual(128);
    expect(runtime).toBe("node");
    expect(why).not.toBe("");
    expect(toggles).toEqual([]);
  });

  test("says the same to people", async () => {
    const { code, stdout } = await hypergrad(["doctor"]);
    expect(code).toBe(0);
    for (const row of ["adapter", "kind", "why", "runtime", "dispatch", "toggles", "features", "limits"]) {
      expect(stdout).toMatch(new RegExp(`^${row}`, "m"));
    }
    expect(stdout).toContain("read back: right");
  });

  test.each(["node", "deno"])("works in %s without a Vulkan driver of the system", async (runtime) => {
    const { code, stdout } = await hypergrad(["doctor", "--json", "--runtime", runtime], {
      env: noSystemDriver,
    });
    expect(code).toBe(0);
    expect(report(stdout)).toMatchObject({ ok: true, kind: "swiftshader", runtime, software: true });
    expect(report(stdout).why).toContain("@sparticuz/chromium");
  });

  test.each(["node", "deno", "browser"])(
    "takes the bundled SwiftShader in %s when it is asked for",
    async (runtime) => {
      const { code, stdout } = await hypergrad(["doctor", "--json", "--runtime", runtime], {
        env: { HYPERGRAD_ADAPTER: "swiftshader" },
      });
      expect(code).toBe(0);
      expect(report(stdout)).toMatchObject({ ok: true, kind: "swiftshader", runtime });
    },
  );

  test("the flag wins over HYPERGRAD_ADAPTER", async () => {
    const env = { HYPERGRAD_ADAPTER: "hardware" };
    const { code, stdout } = await hypergrad(["doctor", "--json", "--adapter", "swiftshader"], { env });
    expect(code).toBe(0);
    expect(report(stdout).kind).toBe("swiftshader");
  });

  test.each(["node", "deno", "browser"])(
    "in %s no adapter that fits is exit code 1 and advice",
    async (runtime) => {
      const { code, stdout, stderr } = await hypergrad([
        "doctor",
        "--json",
        "--adapter",
        "a card nobody has",
        "--runtime",
        runtime,
      ]);
      expect(code).toBe(1);
      expect(stderr).toContain('fits "a card nobody has"');
      expect(stderr).toContain("Tried:");
      expect(stderr).toContain("To do:");
      expect(report(stdout).ok).toBe(false);
    },
  );

  test("says what to install when only a lavapipe will do and there is none", async () => {
    const { code, stderr } = await hypergrad(["doctor", "--adapter", "lavapipe"], { env: noSystemDriver });
    expect(code).toBe(1);
    expect(stderr).toContain("mesa-vulkan-drivers");
  });

  test("passes toggles on and off to Dawn", async () => {
    const toggles = ["skip_validation", "-timestamp_quantization"];
    const { code, stdout } = await hypergrad(["doctor", "--json", `--toggles=${toggles}`]);
    expect(code).toBe(0);
    expect(report(stdout)).toMatchObject({ ok: true, toggles });
  });
});
