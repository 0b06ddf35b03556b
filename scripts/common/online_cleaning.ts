/** One run of online data cleaning: inexact hypergradients, each from where the last one left the inner problem. */
import {
  type Checkpoint,
  type ImplicitBound,
  note,
  onInterrupt,
  progress,
  type Signal,
} from "../../src/index.ts";
import { conjugateGradients, type Field, heavyBall, length, type Solution, type Stop } from "./iterate.ts";
import type { RecordableStep } from "./recorded.ts";
import type { WeightedLogistic } from "./weighted_logistic.ts";

/** How the linear system is solved, and what the method is called. */
export const methods = { cg: "IFT+CG", gd: "AD+GD", hb: "AD+HB" } as const;
export type Method = keyof typeof methods;

export interface CleaningOptions {
  readonly method: Method;
  /** How near the minimiser w has to be, as strong convexity shows. */
  readonly epsilon: number;
  /** Of the residual of H q = ∇_w E, relative to ‖∇_w E‖. */
  readonly delta: number;
  /** How the inner problem is solved: by gradient descent or by heavy ball. */
  readonly inner: "gd" | "hb";
  readonly outerLr: number;
  /** Gradients and products that may be spent. */
  readonly work: number;
}

/** What the work was: gradients of L and of E by w, products with H_ww and with H_λw. */
export interface Spent {
  readonly innerGradients: number;
  readonly outerGradients: number;
  readonly hessianProducts: number;
  readonly mixedProducts: number;
}

/** An outer step takes at least one of each. */
export const LEAST_WORK = 4;
/** What the hypergradient that others are held against may take. */
const REFERENCE_WORK = 3000;
const NOTHING: Spent = { innerGradients: 0, outerGradients: 0, hessianProducts: 0, mixedProducts: 0 };

/** What is known of an outer step. */
export interface CleaningNews {
  /** E(w), w within ε of the minimiser at the λ before the step. */
  readonly outerLoss: number;
  readonly hypergradientNorm: number;
  /** Of the error of the hypergradient. */
  readonly bound: ImplicitBound;
  /** In all steps so far, and altogether. */
  readonly spent: Spent;
  readonly work: number;
  /** Did both solves come to their tolerances, before the work ended? */
  readonly complete: boolean;
}

export class OnlineCleaning {
  readonly #logistic: WeightedLogistic;
  readonly #options: CleaningOptions;
  #state: State;
  /** After the last complete step: a longer run does one that was cut short anew. */
  #complete: State;
  /** The last complete hypergradient, if any was, and where it was taken. */
  #last: { readonly lambda: Float32Array; readonly hypergradient: Float32Array } | undefined;

  constructor(logistic: WeightedLogistic, options: CleaningOptions) {
    this.#logistic = logistic;
    this.#options = options;
    const [w, lambda] = [new Float32Array(logistic.size), new Float32Array(logistic.examples)];
    this.#state = { steps: 0, w, lambda, spent: NOTHING };
    this.#complete = this.#state;
  }

  /** Where the last inner solve ended. */
  get w(): Float32Array {
    return this.#state.w;
  }

  get lambda(): Float32Array {
    return this.#state.lambda;
  }

  /** Outer steps until the work is spent, which cuts the last solve short. On a signal the step under way is the last. */
  async *steps(
    resume: Checkpoint | undefined,
  ): AsyncGenerator<RecordableStep & { readonly news: CleaningNews }> {
    if (resume) this.#restore(resume);
    const { work, method } = this.#options;
    let signal: Signal | undefined;
    const forget = onInterrupt((received) => {
      signal = received;
      note("interrupted: finishing this outer step");
    });
    const bar = progress({ total: work, label: `${methods[method]}, work`, from: total(this.#state.spent) });
    try {
      while (work - total(this.#state.spent) >= LEAST_WORK) {
        const news = await this.#step();
        bar.update(news.work, { "validation loss": news.outerLoss.toFixed(4) });
        const [index, received] = [this.#state.steps, signal];
        yield { news, index, latest: index, signal: received, checkpoint: async () => this.#checkpoint() };
        if (received !== undefined) return;
      }
    } finally {
      bar.stop();
      forget();
    }
  }

  async #step(): Promise<CleaningNews> {
    const { epsilon, delta, outerLr, work, method } = this.#options;
    const { steps, lambda: before, spent: already } = this.#state;
    const left = work - total(already);
    const found = await this.#hypergradient(before, { epsilon, delta, method, work: left });
    const { inner, outer, solved, hypergradient } = found;
    const spent = {
      innerGradients: already.innerGradients + inner.evaluations,
      outerGradients: already.outerGradients + 1,
      hessianProducts: already.hessianProducts + solved.evaluations,
      mixedProducts: already.mixedProducts + 1,
    };
    const lambda = before.map((value, i) => value - outerLr * hypergradient[i]!);
    this.#state = { steps: steps + 1, w: inner.x, lambda, spent };
    const complete = inner.converged && solved.converged;
    if (complete) this.#complete = this.#state;
    if (complete || this.#last === undefined) this.#last = { lambda: before, hypergradient };
    const norms = { gradient: inner.norm, residual: solved.norm, solution: length(solved.x) };
    return {
      outerLoss: outer.value,
      hypergradientNorm: length(hypergradient),
      bound: this.#logistic.errorBound(before, norms),
      ...{ spent, work: total(spent), complete },
    };
  }

  /** How far that is from one by much smaller tolerances, relatively; undefined before a step. */
  async error(): Promise<number | undefined> {
    if (this.#last === undefined) return undefined;
    const { epsilon, delta } = this.#options;
    const { lambda, hypergradient } = this.#last;
    const closer = { epsilon: epsilon / 10, delta: delta / 100, method: "cg", work: REFERENCE_WORK } as const;
    const reference = (await this.#hypergradient(lambda, closer)).hypergradient;
    return length(hypergradient.map((value, i) => value - reference[i]!)) / length(reference);
  }

  /** h = −H_λw q at λ, with H q = ∇_w E; all solves are cut short where the work ends. */
  async #hypergradient(
    lambda: Float32Array,
    { epsilon, delta, method, work }: Pick<CleaningOptions, "epsilon" | "delta" | "method" | "work">,
  ) {
    const logistic = this.#logistic;
    const { strongConvexity } = logistic;
    const limits = { largest: logistic.smoothness(lambda), smallest: strongConvexity };
    logistic.setHyper(lambda);
    const inner = await heavyBall((w) => logistic.innerGradient(w), this.#state.w, {
      ...coefficients(this.#options.inner, limits),
      tolerance: epsilon * strongConvexity,
      limit: work - LEAST_WORK + 1,
    });
    const outer = await logistic.outer(inner.x);
    const solved = await this.#solveSystem(outer.gradient, method, limits, {
      tolerance: delta * length(outer.gradient),
      limit: work - inner.evaluations - 2,
    });
    const mixed = (await logistic.product(solved.x)).hyper;
    return { inner, outer, solved, hypergradient: mixed.map((value) => -value) };
  }

  /** H q = g from q = 0, with H where the inner gradient was last taken. */
  #solveSystem(g: Float32Array, method: Method, limits: Limits, stop: Stop): Promise<Solution> {
    const product: Field = async (q) => (await this.#logistic.product(q)).parameters;
    if (method === "cg") return conjugateGradients(product, g, stop);
    const residual: Field = async (q) => (await product(q)).map((image, i) => image - g[i]!);
    const first = g.map((value) => -value);
    return heavyBall(residual, new Float32Array(g.length), {
      ...coefficients(method, limits),
      ...stop,
      first,
    });
  }

  #checkpoint(): Checkpoint {
    const { steps, w, lambda, spent } = this.#complete;
    const { innerGradients, outerGradients, hessianProducts, mixedProducts } = spent;
    const counts = Uint32Array.of(innerGradients, outerGradients, hessianProducts, mixedProducts);
    return {
      ...{ step: steps, reshuffles: 0, of: {} },
      state: { w: w.slice(), lambda: lambda.slice(), spent: counts },
    };
  }

  #restore({ step, state: { w, lambda, spent } }: Checkpoint): void {
    const [innerGradients, outerGradients, hessianProducts, mixedProducts] = spent as Uint32Array;
    this.#state = {
      steps: step,
      w: w as Float32Array,
      lambda: lambda as Float32Array,
      spent: {
        innerGradients: innerGradients!,
        outerGradients: outerGradients!,
        hessianProducts: hessianProducts!,
        mixedProducts: mixedProducts!,
      },
    };
    this.#complete = this.#state;
  }
}

/** What one outer step leaves to the next. */
interface State {
  readonly steps: number;
  readonly w: Float32Array;
  readonly lambda: Float32Array;
  readonly spent: Spent;
}

/** Eigenvalues of H_ww lie between. */
interface Limits {
  readonly largest: number;
  readonly smallest: number;
}

interface Coefficients {
  readonly step: number;
  readonly momentum: number;
}

/** The fastest constant step of gradient descent, and step and momentum of heavy ball. */
function coefficients(by: "gd" | "hb", { largest, smallest }: Limits): Coefficients {
  if (by === "gd") return { step: 2 / (largest + smallest), momentum: 0 };
  const [high, low] = [Math.sqrt(largest), Math.sqrt(smallest)];
  return { step: (2 / (high + low)) ** 2, momentum: ((high - low) / (high + low)) ** 2 };
}

function total(spent: Spent): number {
  return spent.innerGradients + spent.outerGradients + spent.hessianProducts + spent.mixedProducts;
}
