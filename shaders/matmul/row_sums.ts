import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { orderOnLine } from "../operand.ts";
import { BLOCK } from "../reduce.ts";
import { component, vector, type Width } from "../width.ts";
import { at, lines, type MatmulShape, over } from "./product.ts";

/** Bytes of shared memory that they take at most. */
export const ROW_SUM_BYTES = 2048;

/** A workgroup, and what it has of A, stored as its transpose: vectors of neighbouring rows. */
export interface SumGroup {
  readonly threads: number;
  readonly width: Width;
  /** May threads share a sum? On software adapters a barrier costs more than thousands of additions. */
  readonly together: boolean;
}

/** Workgroups of a lane, where so many are the product's. */
export const withRowSums = (c: Pick<MatmulShape, "sum" | "dsum">, count: number): number =>
  count + Number(c.sum !== undefined || c.dsum !== undefined);

/**
 * WGSL of `sum[m]`, the sums Σ_p A(i, p) over the rows of A, and of `dsum`, which the first workgroup writes beside the
 * product of the others: the bias' gradient beside that of the weights. Nothing where they are not asked for.
 */
export function declareRowSums(c: MatmulShape, { threads, width, together }: SumGroup): string {
  const halves = (["a", "da"] as const).filter((name) => (name === "a" ? c.sum : c.dsum));
  if (halves.length === 0) return "";
  if (c.aRow !== 1 || c.m === 1)
    throw new Error("rows of A, of which there are several, are summed where A is stored as its transpose");
  const blocks = c.m / width;
  const chunks = together ? Math.max(1, Math.floor(threads / blocks)) : 1;
  const type = vector(width);
  const length = Math.ceil(c.k / chunks);
  const each = (text: (name: "a" | "da") => string) => halves.map(text).join(" ");
  const places = { a: c.sum, da: c.dsum };
  const buffer = (name: "a" | "da") => {
    const own = name === "a" ? "sum" : "dsum";
    return places[name]?.inFirst ? { a: "out", da: "d_out" }[name] : own;
  };
  const store = (name: "a" | "da", e: number) => {
    const index = `${at(places[name]!)} + block * ${width} + ${e}`;
    return `${buffer(name)}[${index}] = ${component(`${name}Sum`, width, e)};`;
  };
  const declare = (name: "a" | "da") =>
    places[name]?.inFirst
      ? ""
      : `@group(0) @binding(${name === "a" ? 8 : 9}) var<storage, read_write> ${buffer(name)}: array<f32>;`;
  return wgsl`
${each(declare)}
${chunks > 1 ? each((name) => `var<workgroup> ${name}Shares: array<${type}, ${chunks * blocks}>;`) : ""}
fn addRows(lane: u32, thread: u32) {
  for (var job = thread; job < ${chunks * blocks}; job += ${threads}) {
    let block = job % ${blocks};
    let last = min((job / ${blocks} + 1) * ${length}, ${c.k});
    ${each((name) => `var ${name}Sum = ${type}();`)}
    for (var first = job / ${blocks} * ${length}; first < last; first += ${BLOCK}) {
      ${each((name) => `var ${name}Part = ${type}();`)}
      for (var p = first; p < min(first + ${BLOCK}, last); p++) {
        ${each((name) => `${name}Part += ${name}[(${at(c[name]!)} + block * ${width} + p * ${c.aCol})${over(width)}];`)}
      }
      ${each((name) => `${name}Sum += ${name}Part;`)}
    }
#if ${chunks > 1}
    ${each((name) => `${name}Shares[job] = ${name}Sum;`)}
  }
  workgroupBarrier();
  for (var block = thread; block < ${blocks}; block += ${threads}) {
    ${each((name) => `var ${name}Sum = ${type}();`)}
    for (var share = block; share < ${chunks * blocks}; share += ${blocks}) {
      ${each((name) => `${name}Sum += ${name}Shares[share];`)}
    }
#endif
    ${each((name) => lines(width, (e) => store(name, e)))}
  }
}`;
}

/** WGSL that sets `order`, the number of a workgroup of the product, from `group`; the one of the sums ends there. */
export function startGroup(c: MatmulShape, count: number): string {
  const all = withRowSums(c, count);
  if (all === count) return orderOnLine(count);
  return `${orderOnLine(all, "place")}
  if (place == 0) { addRows(lane, thread); return; }
  let order = place - 1;`;
}
