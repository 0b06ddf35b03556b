import { object, or } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { string } from "@optique/core/valueparser";
import { SETS } from "../data/folder.ts";
import { choice, parseArguments, path } from "../host/arguments.ts";
import type { Command } from "./command.ts";
import { fetchSet, listSets } from "./data.ts";

const data = withDefault(
  option("--data", path("DIR"), {
    description: message`The folder of the sets, each in a folder of its name.`,
  }),
  "data",
);

const parser = or(
  command(
    "fetch",
    object({
      action: constant("fetch"),
      sets: multiple(argument(choice(SETS), { description: message`What to fetch.` }), { min: 1 }),
      data,
      mirror: optional(
        option("--mirror", string({ metavar: "URL" }), {
          description: message`Take the files from this address, URL/FILE, not from where they were published.`,
        }),
      ),
    }),
    {
      description: message`Download published sets, verify their checksums, and go on where a download broke off.`,
    },
  ),
  command(
    "list",
    object({
      action: constant("list"),
      data,
      json: option("--json", { description: message`Print one JSON object.` }),
    }),
    { description: message`Say which sets can be fetched and which are there.` },
  ),
);

/** `hypergrad data fetch NAME…`, `hypergrad data list` */
export const dataCommand: Command = {
  summary: "fetch published data sets, and say which are there",
  async run(argv) {
    const description = "Fetches the data sets of the experiments, and says which are there.";
    const options = await parseArguments("hypergrad data", parser, { description, argv });
    if (options.action === "list") return listSets(options.data, options.json);
    for (const set of options.sets) await fetchSet(set, options);
    return 0;
  },
};
