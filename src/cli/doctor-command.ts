import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { choice, parseArguments } from "../host/arguments.ts";
import type { Command } from "./command.ts";
import { doctor } from "./doctor.ts";
import { runProgram } from "./program.ts";

const parser = object({
  json: option("--json", { description: message`Print one JSON object.` }),
  adapter: optional(
    option("--adapter", string({ metavar: "NAME" }), {
      description: message`auto, hardware, software, lavapipe, swiftshader, or a part of the adapter's name.`,
    }),
  ),
  toggles: optional(
    option("--toggles", string({ metavar: "A,B" }), {
      description: message`Dawn's toggles to turn on, or off with a leading minus (Node).`,
    }),
  ),
  runtime: withDefault(
    option("--runtime", choice(["node", "deno", "browser"]), { description: message`Where to look.` }),
    "node",
  ),
});

/** `hypergrad doctor` */
export const doctorCommand: Command = {
  summary: "prove the GPU by a real dispatch, and say what it is",
  async run(argv) {
    const description = "Proves the GPU by a real dispatch, and says which adapter it is and why.";
    const { runtime, toggles, ...rest } = await parseArguments("hypergrad doctor", parser, {
      description,
      argv,
    });
    const options = { ...rest, ...(toggles && { toggles: toggles.split(",") }) };
    if (runtime === "node") return doctor(options);
    return runProgram(
      {
        name: "doctor",
        call: { module: "src/cli/doctor.ts", name: "doctor", options },
        argv: [],
      },
      { runtime, adapter: rest.adapter },
    );
  },
};
