/** Prints the bits of `fiveSteps`, for a test that compares processes. */

import { Gpu } from "../../src/gpu/gpu.ts";
import { finish, print } from "../../src/host/terminal.ts";
import { fiveSteps } from "./runs.ts";

const gpu = await Gpu.open();
print(JSON.stringify(await fiveSteps(gpu)));
gpu.close();
await finish(0);
