/** Prints the bits of `fiveSteps`, for a test that compares processes. */
import { finish, print } from "../../src/host/terminal.ts";
import { openGpu } from "../support/forced.ts";
import { fiveSteps } from "./runs.ts";

const gpu = await openGpu();
print(JSON.stringify(await fiveSteps(gpu)));
gpu.close();
await finish(0);
