import { at, dualInput, float, type Operand, type View } from "./operand.ts";
import { range } from "./range.ts";
import { component, fit, inVectors, placed, vector, type Width } from "./width.ts";

/** A factor as a formula sees it: WGSL for its value, declared where a formula's operation reads it, and for its tangent if it has one. */
export interface Factor {
  readonly value: string;
  readonly tangent?: string;
}

/** An elementwise operation: WGSL for its value and for its tangent, of which some factor has one. */
export interface Formula {
  value(factors: readonly Factor[]): string;
  tangent(factors: readonly Factor[]): string;
  /** Floating-point operations of the value. */
  readonly flops: number;
  /** WGSL functions that the expressions call. */
  readonly functions?: string;
}

/** An operand that broadcasts to the result. */
export interface Broadcast extends Operand {
  /** WGSL for the position in it that belongs to element `i`, WGSL too, of the result. */
  index(i: string): string;
  /**
   * Neighbours in the result that share an element of it, counted from a multiple of their number on; 0 where each has
   * its own and the positions are those of the result.
   */
  readonly run: number;
  /** WGSL of its elements where the kernel has them at hand: then they are neither bound nor read. */
  readonly held?: Partial<Factor> | undefined;
}

/** One operation; its factors are numbers of leaves, and behind them of operations before it. */
export interface Operation {
  readonly formula: Formula;
  readonly factors: readonly number[];
  readonly primal: boolean;
  readonly tangent: boolean;
}

/** Elementwise operations one after the other; the last one's result, or without any the last leaf, is the chain's. */
export interface Chain {
  readonly leaves: readonly Broadcast[];
  readonly operations: readonly Operation[];
}

/** Elements as they stand in memory. */
export const asTheyStand = (operand: Operand): Chain => ({
  leaves: [{ ...operand, index: (i) => i, run: 0 }],
  operations: [],
});

const isReadInVectors = (leaf: Broadcast, width: Width) =>
  width > 1 && leaf.run === 0 && fit([width, ...placed(leaf.primal, leaf.tangent)]) === width;

/** Where operations stand in a kernel that does something else too. */
export interface ChainPlace {
  /** Of their first buffer: bindings are counted from twice that on. */
  readonly slot: number;
  /** Names of buffers begin so, and those of functions end so. */
  readonly prefix: string;
}

const FIRST: ChainPlace = { slot: 0, prefix: "" };

/** WGSL that declares what a chain reads and calls. */
export const declareChain = (
  { leaves, operations }: Chain,
  width: Width = 1,
  { slot, prefix } = FIRST,
): string =>
  [
    ...leaves.map((leaf, k) =>
      dualInput(slot + k, `${prefix}x${k}`, leaf, vector(isReadInVectors(leaf, width) ? width : 1)),
    ),
    ...textsOf(operations).map((text, k) => numbered(text, text, `${prefix}${k}`)),
  ].join("\n");

/** The functions that operations call, each text once. */
const textsOf = (operations: readonly Operation[]): readonly string[] => [
  ...new Set(operations.flatMap(({ formula }) => formula.functions ?? [])),
];

/**
 * WGSL with the names that a text declares followed by its number: texts may share names with one another and with the
 * kernel. What follows a dot is an element of a vector.
 */
function numbered(code: string, text: string, k: string): string {
  const names = declaredIn(text);
  return names.length === 0
    ? code
    : code.replace(new RegExp(`(?<!\\.)\\b(${names.join("|")})\\b`, "g"), `$1_${k}`);
}

/** Names of a module's own functions, types and constants, not of what stands in braces. */
function declaredIn(text: string): string[] {
  const inner = /\{[^{}]*\}/g;
  let outer = text;
  while (outer.search(inner) >= 0) outer = outer.replace(inner, ";");
  const declarations = outer.matchAll(/\b(?:fn|struct|alias|const|override|var(?:<[^>]*>)?)\s+(\w+)/g);
  return [...declarations].map(([, name]) => name!);
}

/** WGSL that computes the elements of a chain from `width` times `group` (WGSL) on, so many, and their names. */
export function evaluateChain(
  { leaves, operations }: Chain,
  group: string,
  width: Width = 1,
  { prefix }: Pick<ChainPlace, "prefix"> = FIRST,
): { code: string; results: readonly Factor[] } {
  const lines: string[] = [];
  const elements = range(width);
  const texts = textsOf(operations);
  const known = leaves.map((leaf, k) => {
    const read = readLeaf(leaf, k, `${prefix}x${k}`, { group, width, lines });
    // Under names of the chain's own, which no function of a formula has.
    const { value, tangent } = leaf.held ?? {};
    if (value !== undefined) lines.push(`let held${k} = ${value};`);
    if (tangent !== undefined) lines.push(`let d_held${k} = ${tangent};`);
    return read.map((factor, e) => ({
      ...factor,
      ...(value !== undefined && { value: component(`held${k}`, width, e) }),
      ...(tangent !== undefined && { tangent: component(`d_held${k}`, width, e) }),
    }));
  });
  for (const { formula, factors, primal, tangent } of operations) {
    const n = known.length;
    const { functions } = formula;
    const called = (code: string) =>
      functions === undefined ? code : numbered(code, functions, `${prefix}${texts.indexOf(functions)}`);
    known.push(
      elements.map((e) => {
        const name = `v${n}${width === 1 ? "" : `_${e}`}`;
        const given = factors.map((k) => known[k]![e]!);
        if (primal) lines.push(`let ${name} = ${called(formula.value(given))};`);
        if (tangent) lines.push(`let d_${name} = ${called(formula.tangent(given))};`);
        return { value: name, ...(tangent && { tangent: `d_${name}` }) };
      }),
    );
  }
  return { code: lines.join("\n  "), results: known.at(-1)! };
}

/** Reads leaf number `k` from its buffer. @returns the names of its elements, one for each of the group's */
function readLeaf(
  leaf: Broadcast,
  k: number,
  buffer: string,
  { group, width, lines }: { group: string; width: Width; lines: string[] },
): Factor[] {
  const elements = range(width);
  const first = width === 1 ? group : `${width}u * (${group})`;
  const { literal, primal, tangent, run } = leaf;
  const read = (suffix: string, index: string, counted = (view: View) => view): Factor => {
    const name = `v${k}${suffix}`;
    if (primal) lines.push(`let ${name} = ${buffer}[${at(counted(primal), index)}];`);
    if (tangent) lines.push(`let d_${name} = d_${buffer}[${at(counted(tangent), index)}];`);
    return { value: literal === undefined ? name : float(literal), ...(tangent && { tangent: `d_${name}` }) };
  };
  if (isReadInVectors(leaf, width)) {
    const whole = read("", group, (view) => inVectors(view, width));
    return elements.map((e) => ({
      value: literal === undefined ? component(whole.value, width, e) : whole.value,
      ...(whole.tangent && { tangent: component(whole.tangent, width, e) }),
    }));
  }
  if (width === 1 || (run > 0 && run % width === 0)) {
    const one = read("", leaf.index(first));
    return elements.map(() => one);
  }
  return elements.map((e) => read(`_${e}`, leaf.index(`(${first} + ${e}u)`)));
}
