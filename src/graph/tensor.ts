import type { Chain, Formula } from "../../shaders/chain.ts";
import type { Output } from "../../shaders/epilogue.ts";
import type { SecondView, Strided, View } from "../../shaders/operand.ts";
import type { Reduction } from "../../shaders/reduce.ts";
import type { RowOperation, RowPlace } from "../../shaders/rows.ts";
import type { AdapterTraits } from "../../shaders/variants.ts";
import { HypergradError } from "../gpu/errors.ts";
import { formatShape, type Shape, ShapeError, sameShape, size } from "./shape.ts";

/** How elements are stored: as numbers, or `unorm8`, numbers from 0 to 1 in a byte each. */
export type DType = "f32" | "i32" | "unorm8";

/** What a view says of elements of that type. */
export const storage = (dtype: DType | undefined): Pick<View, "isUnorm8"> =>
  dtype === "unorm8" ? { isUnorm8: true } : {};

/** Bytes of an element. */
export const bytesOf = (dtype: DType): number => (dtype === "unorm8" ? 1 : 4);

/**
 * How one kernel is asked to run: whether it writes its primal, its tangent, or both in one pass, and which inputs
 * carry a tangent.
 */
export interface Mode {
  readonly primal: boolean;
  readonly tangent: boolean;
  readonly active: readonly boolean[];
}

/** An input as a kernel sees it: absent parts are not bound; a literal is a constant that stands in the code. */
export interface Operand {
  readonly shape: Shape;
  readonly primal?: View;
  readonly tangent?: View;
  readonly literal?: number;
}

/** Where sums beside an output go. */
export interface Sums {
  readonly primal?: SecondView | undefined;
  readonly tangent?: SecondView | undefined;
}

export interface KernelCall {
  readonly inputs: readonly Operand[];
  /** With elementwise operations that follow in the kernel. */
  readonly out: Operand & Pick<Output, "after">;
  /** Where the sums go that `beside` of the rule names, if they are wanted too; behind the output among the bindings. */
  readonly sums?: Sums | undefined;
  /** What the kernel does with each row of its output, one after the other. */
  readonly rows?: readonly RowOperation[];
  readonly adapter: AdapterTraits;
  /** Lanes that the kernel runs over. */
  readonly lanes: number;
}

/** WGSL with entry point `main`, workgroups in x and y (z is the lane) or elements, and floating-point operations a lane. */
export interface KernelCode {
  readonly code: string;
  readonly grid: readonly [number, number] | Strided;
  readonly flops: number;
}

/** An operation: by a kernel of its own, or on every element, so that a kernel may do several, or a sum of those. */
export type Rule = KernelRule | PointwiseRule | SumRule;

interface Operation {
  readonly name: string;
  /** Takes uniform constants as literals; otherwise they are written out as tensors first. */
  readonly literals?: boolean;
  /** Piecewise constant: its tangent is zero. */
  readonly stepwise?: boolean;
  /** The input that holds integers. */
  readonly integers?: number;
  /** It indexes with those integers: they are less than this, and not negative. */
  readonly below?: number;
  /** Inputs that the kernel also reads where they are `unorm8`. */
  readonly bytes?: readonly number[];
  /** Of each input: is its primal read in this mode? */
  reads(mode: Mode): readonly boolean[];
  /** Cotangents of the inputs, as graph tensors; absent where the operation ends differentiation. */
  vjp?(inputs: readonly Tensor[], output: Tensor, cotangent: Tensor): readonly (Tensor | undefined)[];
}

/** What may follow in a kernel: operations on elements of its output, and on its rows. */
export interface GoesOn {
  readonly byElement: boolean;
  readonly byRow: boolean;
}

/** Of kernels whose threads have elements, but not whole rows. */
export const byElement = (): GoesOn => ({ byElement: true, byRow: false });

/** Binding 2i is the primal of input i, 2i + 1 its tangent; the output follows the inputs in the same way. */
export interface KernelRule extends Operation {
  /** Inputs that the shader has bindings for, where some are optional; the output's follow them. */
  readonly slots?: number;
  kernel(call: KernelCall, mode: Mode): KernelCode;
  /**
   * In how many parts the kernel writes its output, one behind another, to be added up by another kernel: a long sum
   * for few outputs keeps more threads busy so. Default 1.
   */
  parts?(mode: Mode, where: Pick<KernelCall, "adapter" | "lanes">): number;
  /** May elementwise operations on the output follow in the same kernel, and operations on its rows? */
  goesOn?(mode: Mode, where: Pick<KernelCall, "adapter" | "lanes">): GoesOn;
  /** The same operation for a kernel that holds rows of the first input; floating-point operations of all rows. */
  ofRows?(
    call: Pick<KernelCall, "inputs" | "out">,
    place: RowPlace,
  ): RowOperation & { readonly flops: number };
  /** The input of which its kernel can write the sums over the first axis too, on adapters where that takes no longer. */
  readonly beside?: { readonly sumsOf: number; isWorthwhile(adapter: AdapterTraits): boolean };
}

/** An element of the output comes from one element of each input, to which that broadcasts. */
export interface PointwiseRule extends Operation {
  readonly formula: Formula;
}

/** Sums of elements of one input, which its kernel may compute itself. */
export interface SumRule extends Operation, Pick<KernelRule, "parts"> {
  readonly reduction: Reduction;
  sums(call: Omit<KernelCall, "inputs"> & { readonly chain: Chain }): KernelCode;
}

export const isSum = (rule: Rule): rule is SumRule => "reduction" in rule;
export const isPointwise = (rule: Rule): rule is PointwiseRule => "formula" in rule;

/** One piece of an assembled flat tensor. */
export interface Piece {
  readonly offset: number;
  readonly tensor: Tensor;
}

export type Source =
  /** Given from outside. A laned leaf has `lane` elements from one lane to the next, a shared one 0. */
  | { readonly kind: "leaf"; readonly name: string; readonly lane: number }
  /** The same value everywhere. */
  | { readonly kind: "constant"; readonly value: number }
  /** A contiguous part of another tensor, seen in this shape. */
  | { readonly kind: "view"; readonly base: Tensor; readonly offset: number }
  /** Flat: pieces side by side, zero elsewhere. */
  | { readonly kind: "assembly"; readonly pieces: readonly Piece[] }
  | { readonly kind: "rule"; readonly rule: Rule; readonly inputs: readonly Tensor[] };

/** A symbolic tensor: a shape, and where its values come from. The lane dimension is implied. */
export class Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly source: Source;

  constructor(shape: Shape, dtype: DType, source: Source) {
    this.shape = shape;
    this.dtype = dtype;
    this.source = source;
  }

  get size(): number {
    return size(this.shape);
  }
}

/** By its form, so that a tensor of another copy of this module is one too. */
export function isTensor(given: unknown): given is Tensor {
  return typeof given === "object" && given !== null && "source" in given && "shape" in given;
}

export function leaf(name: string, shape: Shape, options: { dtype?: DType; lane?: number } = {}): Tensor {
  return new Tensor(shape, options.dtype ?? "f32", { kind: "leaf", name, lane: options.lane ?? 0 });
}

/** @throws HypergradError for a number that a 32-bit float cannot hold. */
export function assertFloat32(value: number): void {
  if (Number.isFinite(Math.fround(value))) return;
  if (Number.isNaN(value)) {
    throw new HypergradError(
      "a constant is NaN: tensors are combined by add, sub, mul and div, not by + - * and /",
    );
  }
  throw new HypergradError(`the constant ${value} does not fit a 32-bit float: rescale the loss`);
}

/** A tensor that holds `value` everywhere. @throws HypergradError for a number beyond float32 */
export function constant(value: number, shape: Shape = []): Tensor {
  assertFloat32(value);
  return new Tensor(shape, "f32", { kind: "constant", value });
}

/** The value of a constant tensor, or undefined. */
export function constantValue(tensor: Tensor): number | undefined {
  return tensor.source.kind === "constant" ? tensor.source.value : undefined;
}

/** A contiguous part of `base` (row-major elements `offset` …) seen in another shape; costs nothing. */
export function view(base: Tensor, offset: number, shape: Shape): Tensor {
  if (offset < 0 || offset + size(shape) > base.size) {
    throw new ShapeError(
      `${formatShape(shape)} at element ${offset} reaches outside ${formatShape(base.shape)}`,
    );
  }
  if (sameShape(base.shape, shape)) return base;
  const value = constantValue(base);
  if (value !== undefined) return constant(value, shape);
  if (base.source.kind === "view") return view(base.source.base, base.source.offset + offset, shape);
  return new Tensor(shape, base.dtype, { kind: "view", base, offset });
}

export function assembly(length: number, pieces: readonly Piece[]): Tensor {
  return new Tensor([length], "f32", { kind: "assembly", pieces });
}

/** The tensor that holds a tensor's values. */
export const baseOf = (tensor: Tensor): Tensor =>
  tensor.source.kind === "view" ? tensor.source.base : tensor;

/** The tensors a tensor is computed from. */
export function parents(tensor: Tensor): readonly Tensor[] {
  const { source } = tensor;
  switch (source.kind) {
    case "view":
      return [source.base];
    case "assembly":
      return source.pieces.map((piece) => piece.tensor);
    case "rule":
      return source.inputs;
    default:
      return [];
  }
}

/** All tensors that `roots` are computed from, each after its parents. */
export function topological(roots: readonly Tensor[]): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  const stack: { tensor: Tensor; next: number }[] = [];
  for (const root of roots) {
    if (!seen.has(root)) {
      seen.add(root);
      stack.push({ tensor: root, next: 0 });
    }
    while (stack.length > 0) {
      const frame = stack[stack.length - 1]!;
      const parent = parents(frame.tensor)[frame.next++];
      if (parent === undefined) {
        order.push(frame.tensor);
        stack.pop();
      } else if (!seen.has(parent)) {
        seen.add(parent);
        stack.push({ tensor: parent, next: 0 });
      }
    }
  }
  return order;
}
