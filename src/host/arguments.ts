import { runParser } from "@optique/core/facade";
import { message, text } from "@optique/core/message";
import type { Parser } from "@optique/core/parser";
import { float, integer, choice as optiqueChoice, string, type ValueParser } from "@optique/core/valueparser";
import { launch } from "./launch.ts";
import { runtime } from "./runtime.ts";
import { finish, note, print } from "./terminal.ts";

/** The arguments after the script's name, wherever the script runs. */
export function scriptArguments(): readonly string[] {
  return launch()?.argv ?? (runtime() === "browser" ? [] : process.argv.slice(2));
}

let areRead = false;

/** The script's arguments, if `parseArguments` has not read them. */
export function unreadArguments(): readonly string[] {
  return areRead ? [] : scriptArguments();
}

export type Parsed<T> = { value: T } | { help: string } | { error: string };

/**
 * Reads `argv` with a parser of @optique/core; pure.
 *
 * @param name the command as the user typed it, for the usage line
 */
export function readArguments<T, S>(
  name: string,
  parser: Parser<"sync", T, S>,
  argv: readonly string[],
  description: string,
): Parsed<T> {
  const written = { out: "", err: "" };
  // runParser gives either the parser's value or what these callbacks give: told apart by this one object.
  const ended = { code: undefined as number | undefined };
  const result: T | typeof ended = runParser<Parser<"sync", T, S>, typeof ended, typeof ended>(
    parser,
    name,
    argv,
    {
      brief: [text(description)],
      help: { option: { names: ["-h", "--help"] }, onShow: () => ended },
      onError: () => ended,
      showDefault: true,
      showChoices: { maxItems: Number.POSITIVE_INFINITY },
      aboveError: "none",
      termWidth: "auto",
      maxWidth: 100,
      stdout: (line) => {
        written.out += line;
      },
      stderr: (line) => {
        written.err += line;
      },
    },
  );
  if (result !== ended) return { value: result as T };
  if (written.err === "") return { help: written.out.trimEnd() };
  return {
    error: written.err
      .replace(/^Error:/, "error:")
      .replaceAll("\n\n", "\n")
      .trimEnd(),
  };
}

/**
 * Reads the script's arguments. `--help` prints the flags on stdout and ends with 0; a wrong flag or value is
 * named on stderr, with the nearest right one, and ends with 2, as do values that do not go together.
 *
 * @param options.check says what is wrong with values that are right one by one
 */
export async function parseArguments<T, S>(
  name: string,
  parser: Parser<"sync", T, S>,
  options: { description: string; argv?: readonly string[]; check?: (value: T) => string | undefined },
): Promise<T> {
  areRead = true;
  const parsed = readArguments(name, parser, options.argv ?? scriptArguments(), options.description);
  if ("help" in parsed) {
    print(parsed.help);
    return finish(0);
  }
  const problem = "value" in parsed ? options.check?.(parsed.value) : undefined;
  if ("value" in parsed && problem === undefined) return parsed.value;
  note("error" in parsed ? parsed.error : `error: ${problem}`);
  note(`${name} --help lists the flags`);
  return finish(2);
}

/** 1, 2, 3, … */
export const positiveInteger = (metavar: Uppercase<string> = "N"): ValueParser<"sync", number> =>
  integer({ min: 1, max: Number.MAX_SAFE_INTEGER, metavar: name(metavar) });

/** 0 or more, finite; `1e-3` is fine. */
export const nonNegativeNumber = (metavar: Uppercase<string> = "X"): ValueParser<"sync", number> =>
  float({ min: 0, metavar: name(metavar) });

/** From 0 to 1. */
export const probability = (metavar: Uppercase<string> = "P"): ValueParser<"sync", number> =>
  float({ min: 0, max: 1, metavar: name(metavar) });

/** An integer that fits 32 bits, so that it means the same to every generator. */
export const seed = (metavar: Uppercase<string> = "SEED"): ValueParser<"sync", number> =>
  integer({ min: 0, max: 2 ** 32 - 1, metavar: name(metavar) });

/** A file or a folder; not "", which an unset variable of a shell is and which would name the root of all files. */
export const path = (metavar: Uppercase<string>): ValueParser<"sync", string> =>
  string({
    metavar: name(metavar),
    pattern: /./s,
    errors: { patternMismatch: message`it is empty: name a path, or leave the flag out` },
  });

/** A file for an SVG figure. */
export const svgPath = (metavar: Uppercase<string> = "FILE"): ValueParser<"sync", string> =>
  string({
    metavar: name(metavar),
    // Devices have no ending.
    pattern: /(\.svg|(^|[/\\])[^./\\]+)$/i,
    errors: { patternMismatch: message`figures are SVG: name a file that ends in .svg` },
  });

/** One of these names; a near miss is told the right one. */
export const choice = <const T extends string>(
  names: readonly T[],
  metavar: Uppercase<string> = "NAME",
): ValueParser<"sync", T> => optiqueChoice(names, { metavar: name(metavar), suggest: "nearest" });

/** Values with commas between: "5,10,20". */
export const listOf = <T>(item: ValueParser<"sync", T>): ValueParser<"sync", readonly T[]> => ({
  mode: "sync",
  metavar: name(`${item.metavar},…`),
  placeholder: [],
  parse(input) {
    const values: T[] = [];
    for (const text of input.split(",")) {
      const result = item.parse(text.trim());
      if (!result.success) return result;
      values.push(result.value);
    }
    return { success: true, value: values };
  },
  format: (values) => values.map((value) => item.format(value)).join(","),
});

type Metavar = NonNullable<NonNullable<Parameters<typeof float>[0]>["metavar"]>;

function name(metavar: string): Metavar {
  return metavar as Metavar;
}
