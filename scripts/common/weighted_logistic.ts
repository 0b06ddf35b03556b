/**
 * Logistic regression on weighted examples as a bilevel problem (Ehrhardt & Roberts, arXiv 2301.04764): w minimises
 * L = mean σ(λ_i) ce_i + reg ‖w‖², and λ is judged by the mean cross-entropy E on other examples. Its derivatives come
 * from the GPU, its constants are known.
 */
import {
  add,
  crossEntropy,
  type Dataset,
  type Differentiable,
  differentiate,
  type Gpu,
  type ImplicitBound,
  imageSize,
  implicitBound,
  linear,
  type Model,
  mean,
  mul,
  scale,
  sigmoid,
  squaredNorm,
  type Values,
  values,
  zeros,
} from "../../src/index.ts";
import { inputs } from "./accuracy.ts";

type Weights = "weight" | "bias";

/** What a bound on an error of h needs, all of it at w and λ. */
export interface SolveNorms {
  /** ‖∇_w L‖, ‖H q − ∇_w E‖ and ‖q‖. */
  readonly gradient: number;
  readonly residual: number;
  readonly solution: number;
}

export class WeightedLogistic {
  readonly model: Model<Weights>;
  /** Of w, flat. */
  readonly size: number;
  /** Elements of λ. */
  readonly examples: number;
  /** L − ½ μ ‖w‖² is convex. */
  readonly strongConvexity: number;
  readonly #inner: Differentiable<Weights, "lambda">;
  readonly #outer: Differentiable<Weights, never>;
  /** ‖x_i‖² + 1 of the training examples, and the mean of the same of the validation examples. */
  readonly #squares: Float64Array;
  readonly #outerSquare: number;

  /** @throws MemoryError, ValidationError */
  static async prepare(
    gpu: Gpu,
    { train, labels, val, reg }: { train: Dataset; labels: Int32Array; val: Dataset; reg: number },
  ): Promise<WeightedLogistic> {
    const model = linear(imageSize(train), train.classes);
    const { parameters } = model;
    const inner = await differentiate(gpu, {
      parameters,
      hyper: { lambda: zeros([labels.length]) },
      data: { x: inputs(train), y: values(labels) },
      loss: (w, { lambda }, { x, y }) =>
        add(mean(mul(sigmoid(lambda), crossEntropy(model.apply(w, x), y))), scale(reg, squaredNorm(w))),
    });
    const outer = await differentiate(gpu, {
      parameters,
      data: { x: inputs(val), y: values(val.labels) },
      loss: (w, _lambda, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
    });
    return new WeightedLogistic(model, inner, outer, squaresOf(train), squaresOf(val), reg);
  }

  private constructor(
    model: Model<Weights>,
    inner: Differentiable<Weights, "lambda">,
    outer: Differentiable<Weights, never>,
    squares: Float64Array,
    outerSquares: Float64Array,
    reg: number,
  ) {
    const { weight, bias } = model.parameters;
    this.model = model;
    this.size = weight.data.length + bias.data.length;
    this.examples = squares.length;
    this.strongConvexity = 2 * reg;
    this.#inner = inner;
    this.#outer = outer;
    this.#squares = squares;
    this.#outerSquare = outerSquares.reduce((sum, square) => sum + square, 0) / outerSquares.length;
  }

  /** No eigenvalue of H_ww is above, wherever w is: those of a cross-entropy by its logits are at most ½. */
  smoothness(lambda: Float32Array): number {
    return this.#meanOver(lambda, (weight, square) => 0.5 * weight * square) + this.strongConvexity;
  }

  setHyper(lambda: Float32Array): void {
    this.#inner.set({ hyper: { lambda: values(lambda) } });
  }

  /** ∇_w L at w, where the products that follow are taken too. */
  async innerGradient(w: Float32Array): Promise<Float32Array> {
    this.#inner.set({ parameters: this.unpack(w) });
    return pack((await this.#inner.gradient()).parameters);
  }

  /** H_ww q and H_λw q */
  async product(q: Float32Array): Promise<{ parameters: Float32Array; hyper: Float32Array }> {
    const still = zeros([this.examples]);
    const { parameters, hyper } = await this.#inner.hvp({
      parameters: this.unpack(q),
      hyper: { lambda: still },
    });
    return { parameters: pack(parameters), hyper: hyper.lambda.data as Float32Array };
  }

  /** E and ∇_w E at w. */
  async outer(w: Float32Array): Promise<{ value: number; gradient: Float32Array }> {
    this.#outer.set({ parameters: this.unpack(w) });
    const [value] = await this.#outer.value();
    return { value: value!, gradient: pack((await this.#outer.gradient()).parameters) };
  }

  /**
   * How far h = −H_λw q may be from the hypergradient at the exact minimiser. ∇²ce changes by at most √½ ‖u‖ when the
   * logits move by u, as its third derivative is a third central moment of a distribution over the classes.
   */
  errorBound(lambda: Float32Array, { gradient, residual, solution }: SolveNorms): ImplicitBound {
    const n = lambda.length;
    /** Of the matrix whose rows are σ'(λ_i) / n times vectors of these lengths. */
    const frobenius = (rowLength: (square: number) => number) =>
      Math.sqrt(
        lambda.reduce((sum, at, i) => {
          const weight = sigma(at);
          return sum + ((weight * (1 - weight) * rowLength(this.#squares[i]!)) / n) ** 2;
        }, 0),
      );
    return implicitBound({
      innerGradientNorm: gradient,
      residualNorm: residual,
      solutionNorm: solution,
      mixedNorm: frobenius((square) => Math.sqrt(2 * square)),
      strongConvexity: this.strongConvexity,
      lipschitz: {
        outerGradient: 0.5 * this.#outerSquare,
        hessian: this.#meanOver(lambda, (weight, square) => Math.SQRT1_2 * weight * square ** 1.5),
        mixed: frobenius((square) => 0.5 * square),
      },
    });
  }

  #meanOver(lambda: Float32Array, term: (weight: number, square: number) => number): number {
    return lambda.reduce((sum, at, i) => sum + term(sigma(at), this.#squares[i]!), 0) / lambda.length;
  }

  unpack(w: Float32Array): Record<Weights, Values> {
    const { weight, bias } = this.model.parameters;
    const split = weight.data.length;
    return {
      weight: values(w.subarray(0, split), weight.shape),
      bias: values(w.subarray(split), bias.shape),
    };
  }

  destroy(): void {
    this.#inner.destroy();
    this.#outer.destroy();
  }
}

function pack({ weight, bias }: Readonly<Record<Weights, Values>>): Float32Array {
  const flat = new Float32Array(weight.data.length + bias.data.length);
  flat.set(weight.data);
  flat.set(bias.data, weight.data.length);
  return flat;
}

/** ‖x_i‖² + 1, the squared length with the constant that the bias belongs to. */
function squaresOf(dataset: Dataset): Float64Array {
  const width = imageSize(dataset);
  const squares = new Float64Array(dataset.labels.length).fill(1);
  dataset.images.forEach((value, at) => {
    squares[Math.floor(at / width)]! += value ** 2;
  });
  return squares;
}

function sigma(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
