import { wgsl } from "wgsl-preprocessor/wgsl-preprocessor.js";
import {
  at,
  dualInput,
  dualOutput,
  input,
  linearMain,
  type Operand,
  output,
  primal,
  tangent,
} from "./operand.ts";
import { range } from "./range.ts";
import { component, fit, inVectors, packed, placed, vector, type Width } from "./width.ts";

/** `rows` examples of `classes` logits each. */
export interface Logits {
  readonly rows: number;
  readonly classes: number;
}

/** WGSL for a value, or for NaN where the label is none; it is made of the label, as WGSL has no constant for it. */
const known = (classes: number, value: string) =>
  `select(bitcast<f32>(label | 0x7fc00000u), ${value}, label < ${classes}u)`;

/** Per example: log(sum of exp z) - z[label], shifted by the largest logit; tangent <softmax z, dz> - dz[label]. */
export function crossEntropy({ rows, classes }: Logits, z: Operand, label: Operand, y: Operand): string {
  const row = new Row(classes, z);
  return wgsl`
${row.declare()}
${input(2, "labels", label.primal, "i32")}
${dualOutput(2, "ys", y)}
${linearMain(rows)}
  let label = u32(labels[${at(label.primal, "i")}]);
  ${row.read()}
  ${softmaxSums(row, Boolean(y.tangent))}
  var hit = 0.0;
  var d_hit = 0.0;
  ${row.each(
    ({ number, logit, tangent }) => `hit = select(hit, ${logit}, label == ${number});
  ${y.tangent ? `d_hit = select(d_hit, ${tangent}, label == ${number});` : ""}`,
  )}
#if ${y.primal}
  ys[${at(y.primal, "i")}] = ${known(classes, "log(total) + largest - hit")};
#endif
#if ${y.tangent}
  d_ys[${at(y.tangent, "i")}] = ${known(classes, "d_total / total - d_hit")};
#endif
}`;
}

/**
 * The cotangent of the logits: out = u (softmax z - onehot), with u per example; its tangent is
 * du (p - onehot) + u p (dz - <p, dz>).
 */
export function crossEntropyBackward(
  { rows, classes }: Logits,
  z: Operand,
  label: Operand,
  u: Operand,
  uIndex: string,
  out: Operand,
): string {
  const row = new Row(classes, z);
  const withTangent = out.tangent !== undefined && z.tangent !== undefined;
  return wgsl`
${row.declare()}
${input(2, "labels", label.primal, "i32")}
${dualInput(2, "us", u)}
${dualOutput(3, "outs", out, vector(row.width(out)))}
${linearMain(rows)}
  let label = u32(labels[${at(label.primal, "i")}]);
  ${row.read()}
  ${softmaxSums(row, withTangent)}
#if ${out.primal || z.tangent}
  let u = ${primal("us", u, uIndex)};
#endif
  ${out.tangent && u.tangent ? `let du = ${tangent("us", u, uIndex)};` : ""}
  ${row.write(out, ({ number, logit, tangent }, name) => {
    const moved = [
      ...(u.tangent ? [`du * miss${name}`] : []),
      ...(z.tangent ? [`u * p${name} * (${tangent} - d_total / total)`] : []),
    ];
    return {
      code: `let p${name} = exp(${logit} - largest) / total;
  let miss${name} = ${known(classes, `p${name} - select(0.0, 1.0, ${number} == label)`)};`,
      primal: `u * miss${name}`,
      tangent: moved.join(" + ") || "0.0",
    };
  })}
}`;
}

/** Is the largest logit that of the label (the first one, where several are equal)? 1 or 0. */
export function correct({ rows, classes }: Logits, z: Operand, label: Operand, y: Operand): string {
  return wgsl`
${input(0, "zs", z.primal)}
${input(2, "labels", label.primal, "i32")}
${output(4, "ys", y.primal)}
${linearMain(rows)}
  let row = i * ${classes}u;
  var best = 0u;
  for (var c = 1u; c < ${classes}u; c++) {
    if (${primal("zs", z, "row + c")} > ${primal("zs", z, "row + best")}) { best = c; }
  }
  let label = u32(labels[${at(label.primal, "i")}]);
  ys[${at(y.primal, "i")}] = ${known(classes, "select(0.0, 1.0, best == label)")};
}`;
}

/** The most classes of which a thread keeps the logits in registers; where there are more it reads them at each turn. */
const IN_REGISTERS = 16;

/** One class of an example: WGSL for its number, its logit and the logit's tangent. */
interface Class {
  readonly number: string;
  readonly logit: string;
  readonly tangent: string;
}

/** WGSL that a result of each class takes, and what it is. */
interface Result {
  readonly code: string;
  readonly primal: string;
  readonly tangent: string;
}

/** The logits of example `i`, which stand side by side. */
class Row {
  readonly #classes: number;
  readonly #logits: Operand;
  readonly #isKept: boolean;

  constructor(classes: number, logits: Operand) {
    this.#classes = classes;
    this.#logits = logits;
    this.#isKept = classes <= IN_REGISTERS;
  }

  /** Neighbours that are a vector in memory. */
  width({ primal, tangent }: Operand): Width {
    return this.#isKept ? fit([this.#classes, ...placed(primal, tangent)]) : 1;
  }

  declare(): string {
    return dualInput(0, "zs", this.#logits, vector(this.width(this.#logits)));
  }

  /** WGSL that reads the logits that are kept. */
  read(): string {
    if (!this.#isKept) return "";
    const width = this.width(this.#logits);
    const { primal, tangent } = this.#logits;
    return range(this.#classes / width)
      .map((turn) => {
        const place = `i * ${this.#classes / width}u + ${turn}u`;
        return `${primal ? `let z${turn} = zs[${at(inVectors(primal, width), place)}];` : ""}
  ${tangent ? `let d_z${turn} = d_zs[${at(inVectors(tangent, width), place)}];` : ""}`;
      })
      .join("\n  ");
  }

  /** WGSL for the logit of class 0. */
  get first(): string {
    return this.#isKept ? this.#kept(0).logit : primal("zs", this.#logits, `i * ${this.#classes}u`);
  }

  /** WGSL that does something for each class, in their order. */
  each(body: (one: Class) => string): string {
    if (this.#isKept)
      return range(this.#classes)
        .map((c) => body(this.#kept(c)))
        .join("\n  ");
    return `for (var c = 0u; c < ${this.#classes}u; c++) {
    ${body(this.#turn())}
  }`;
  }

  /** WGSL that writes a result for each class; it may use names that end as it is told. */
  write(out: Operand, result: (one: Class, suffix: string) => Result): string {
    const store = (width: Width, place: string, results: readonly Result[]) =>
      [
        ...results.map(({ code }) => code),
        out.primal
          ? `outs[${at(inVectors(out.primal, width), place)}] = ${packed(results.map(({ primal }) => primal))};`
          : "",
        out.tangent
          ? `d_outs[${at(inVectors(out.tangent, width), place)}] = ${packed(results.map(({ tangent }) => tangent))};`
          : "",
      ].join("\n  ");
    if (!this.#isKept) {
      return `for (var c = 0u; c < ${this.#classes}u; c++) {
    ${store(1, this.#place, [result(this.#turn(), "")])}
  }`;
    }
    const width = this.width(out);
    return range(this.#classes / width)
      .map((turn) => {
        const results = range(width).map((e) => result(this.#kept(turn * width + e), `_${turn * width + e}`));
        return store(width, `i * ${this.#classes / width}u + ${turn}u`, results);
      })
      .join("\n  ");
  }

  get #place(): string {
    return `i * ${this.#classes}u + c`;
  }

  #turn(): Class {
    return {
      number: "c",
      logit: primal("zs", this.#logits, this.#place),
      tangent: tangent("zs", this.#logits, this.#place),
    };
  }

  #kept(c: number): Class {
    const width = this.width(this.#logits);
    const kept = (name: string) => component(`${name}${Math.floor(c / width)}`, width, c);
    return {
      number: `${c}u`,
      logit: this.#logits.primal ? kept("z") : primal("zs", this.#logits, ""),
      tangent: this.#logits.tangent ? kept("d_z") : "0.0",
    };
  }
}

function softmaxSums(row: Row, withTangent: boolean): string {
  return wgsl`
  var largest = ${row.first};
  ${row.each(({ logit }) => `largest = max(largest, ${logit});`)}
  var total = 0.0;
  var d_total = 0.0;
  ${row.each(
    ({ logit, tangent }) => `total += exp(${logit} - largest);
  ${withTangent ? `d_total += exp(${logit} - largest) * ${tangent};` : ""}`,
  )}`;
}
