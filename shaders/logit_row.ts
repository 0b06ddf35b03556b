import { at, dualInput, type Operand, primal, tangent } from "./operand.ts";
import { range } from "./range.ts";
import type { RowPlace } from "./rows.ts";
import { component, fit, inVectors, placed, storeVector, vector, type Width } from "./width.ts";

/** The most classes of which a thread keeps the logits in registers; where there are more it reads them at each turn. */
const IN_REGISTERS = 16;

/** One class of an example: WGSL for its number, its logit and the logit's tangent. */
export interface Class {
  readonly number: string;
  readonly logit: string;
  readonly tangent: string;
}

/** WGSL that a result of each class takes, and what it is. */
export interface Result {
  readonly code: string;
  readonly primal: string;
  readonly tangent: string;
}

/** The logits of example `i`, which stand side by side, unless they are at hand. */
export class LogitRow {
  readonly #classes: number;
  readonly #logits: Operand;
  readonly #place: RowPlace;
  readonly #buffer: string;
  readonly #isKept: boolean;

  constructor(classes: number, logits: Operand, place: RowPlace) {
    this.#classes = classes;
    this.#logits = logits;
    this.#place = place;
    this.#buffer = `${place.prefix}zs`;
    this.#isKept = classes <= IN_REGISTERS || place.held.primal || place.held.tangent;
  }

  /** Neighbours that are a vector in memory. */
  width({ primal, tangent }: Operand): Width {
    return this.#isKept ? fit([this.#classes, ...placed(primal, tangent)]) : 1;
  }

  declare(): string {
    return dualInput(this.#place.slot, this.#buffer, this.#logits, vector(this.width(this.#logits)));
  }

  /** WGSL that reads the logits that are kept. */
  read(): string {
    if (!this.#isKept) return "";
    const width = this.width(this.#logits);
    const { primal, tangent } = this.#logits;
    return range(this.#classes / width)
      .map((turn) => {
        const place = `i * ${this.#classes / width}u + ${turn}u`;
        return `${primal ? `let z${turn} = ${this.#buffer}[${at(inVectors(primal, width), place)}];` : ""}
  ${tangent ? `let d_z${turn} = d_${this.#buffer}[${at(inVectors(tangent, width), place)}];` : ""}`;
      })
      .join("\n  ");
  }

  /** WGSL for the logit of class 0. */
  get first(): string {
    return this.#isKept ? this.#kept(0).logit : primal(this.#buffer, this.#logits, `i * ${this.#classes}u`);
  }

  /** WGSL for the logit of the class that is numbered `label` (WGSL), or for its tangent. */
  chosen(half: "logit" | "tangent"): string {
    if (!this.#isKept) {
      const place = `i * ${this.#classes}u + min(label, ${this.#classes - 1}u)`;
      return (half === "logit" ? primal : tangent)(this.#buffer, this.#logits, place);
    }
    const [first, ...others] = range(this.#classes).map((c) => this.#kept(c));
    return others.reduce(
      (sofar, one) => `select(${sofar}, ${one[half]}, label == ${one.number})`,
      first![half],
    );
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
  write(buffer: string, out: Operand, result: (one: Class, suffix: string) => Result): string {
    const store = (place: string, results: readonly Result[]) => {
      const values = {
        primal: results.map(({ primal }) => primal),
        tangent: results.map(({ tangent }) => tangent),
      };
      return [...results.map(({ code }) => code), storeVector(buffer, out, place, values)].join("\n  ");
    };
    if (!this.#isKept) {
      return `for (var c = 0u; c < ${this.#classes}u; c++) {
    ${store(this.#position, [result(this.#turn(), "")])}
  }`;
    }
    const width = this.width(out);
    return range(this.#classes / width)
      .map((turn) => {
        const results = range(width).map((e) => result(this.#kept(turn * width + e), `_${turn * width + e}`));
        return store(`i * ${this.#classes / width}u + ${turn}u`, results);
      })
      .join("\n  ");
  }

  get #position(): string {
    return `i * ${this.#classes}u + c`;
  }

  #turn(): Class {
    return {
      number: "c",
      logit: primal(this.#buffer, this.#logits, this.#position),
      tangent: tangent(this.#buffer, this.#logits, this.#position),
    };
  }

  #kept(c: number): Class {
    const { held } = this.#place;
    const kept = (name: string, isHeld: boolean) => {
      const width = isHeld ? 1 : this.width(this.#logits);
      return component(`${name}${Math.floor(c / width)}`, width, c);
    };
    return {
      number: `${c}u`,
      logit: kept("z", held.primal),
      tangent: held.tangent || this.#logits.tangent ? kept("d_z", held.tangent) : "0.0",
    };
  }
}
