import { expect, test } from "vitest";
import { assertReadable } from "../../scripts/common/recorded.ts";

test("results that are made of the log are refused where --log names a device, before the run", async () => {
  await assertReadable({ resume: false });
  await assertReadable({ resume: false, log: "/nowhere/yet.jsonl" });
  await expect(assertReadable({ resume: false, log: "/dev/null" })).rejects.toThrow(
    "--log /dev/null cannot be read back, and the results are made of the log: name a file",
  );
});
