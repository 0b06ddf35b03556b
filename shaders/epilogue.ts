import { type Chain, type ChainPlace, declareChain, evaluateChain } from "./chain.ts";
import { dualOutput, type Operand } from "./operand.ts";
import { fit, packed, placed, storeVector, vector, type Width } from "./width.ts";

/**
 * Elementwise operations that a kernel does with its output before it writes it, or instead: the chain has that one at
 * hand, as `z` and `d_z`.
 */
export interface Epilogue extends ChainPlace {
  readonly chain: Chain;
  /** Where its result goes. */
  readonly out: Operand;
}

/** A kernel's output, and what is done with it there. */
export interface Output extends Operand {
  readonly after?: readonly Epilogue[] | undefined;
}

/** The largest width in which all that is written may be, and these lengths allow. */
export const storedWidth = ({ primal, tangent, after = [] }: Output, lengths: readonly number[]): Width =>
  fit([...lengths, ...placed(primal, tangent, ...after.flatMap(({ out }) => [out.primal, out.tangent]))]);

/** Declares the output, and what follows of it. */
export const declareStored = (slot: number, name: string, out: Output, width: Width): string =>
  [
    dualOutput(slot, name, out, vector(width)),
    ...(out.after ?? []).map((each) => declareEpilogue(each, width)),
  ].join("\n");

/** WGSL that stores as many values as are a vector, and their tangents, as vector number `place` (WGSL), and does the rest. */
export const storeOutput = (name: string, out: Output, place: string, values: Values): string =>
  [
    storeVector(name, out, place, values),
    ...(out.after ?? []).map((each) => doEpilogue(each, place, values)),
  ].join(" ");

interface Values {
  readonly primal: readonly string[];
  readonly tangent: readonly string[];
}

const declareEpilogue = ({ chain, out, slot, prefix }: Epilogue, width: Width): string => `
${declareChain(chain, width, { slot, prefix })}
${dualOutput(slot + chain.leaves.length, `${prefix}ys`, out, vector(width))}`;

/** In a block of its own, so that its names are. */
function doEpilogue({ chain, out, prefix }: Epilogue, place: string, { primal, tangent }: Values): string {
  const width = Math.max(primal.length, tangent.length) as Width;
  const held = chain.leaves.flatMap(({ held }) => held ?? []);
  const { code, results } = evaluateChain(chain, "place", width, { prefix });
  return `{
    let place = ${place};
    ${held.some(({ value }) => value !== undefined) ? `let z = ${packed(primal)};` : ""}
    ${held.some(({ tangent }) => tangent !== undefined) ? `let d_z = ${packed(tangent)};` : ""}
    ${code}
    ${storeVector(`${prefix}ys`, out, "place", {
      primal: results.map(({ value }) => value),
      tangent: results.flatMap(({ tangent }) => tangent ?? []),
    })}
  }`;
}
