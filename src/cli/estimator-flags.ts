import { estimatorNames } from "../estimators/named.ts";
import { UsageError } from "../host/errors.ts";

/** What `--estimators LIST` takes, for a help text whose descriptions start in column 21. */
export const estimatorsHelp = `${wrapped(estimatorNames)};
                     values of their parameters after a colon: rmd,krmd:5,greedy:0.9`;

/** A flag's whole number > 0. @throws UsageError */
export function count(flag: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`${flag} is "${text}": give a whole number > 0`);
  return Number(text);
}

/** Names with commas between, in lines that start at the column of the flags' descriptions. */
function wrapped(names: readonly string[]): string {
  const lines = [""];
  for (const name of names) {
    const line = lines.at(-1)!;
    if (line.length + name.length > 80) lines.push(name);
    else lines[lines.length - 1] = line === "" ? name : `${line}, ${name}`;
  }
  return lines.join(`,\n${" ".repeat(21)}`);
}
