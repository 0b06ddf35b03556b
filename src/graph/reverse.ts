import { total } from "./operations/linear_combination.ts";
import { size } from "./shape.ts";
import { assembly, constant, type Piece, parents, type Tensor, topological, view } from "./tensor.ts";

/**
 * Reverse-mode differentiation as a transformation of the graph: the gradients of a scalar with respect to
 * leaves, as graph tensors. `undefined` where the scalar does not depend on the leaf.
 */
export function gradients(loss: Tensor, leaves: readonly Tensor[]): (Tensor | undefined)[] {
  const order = topological([loss]);
  const depends = new Set<Tensor>(leaves);
  for (const tensor of order) {
    if (parents(tensor).some((parent) => depends.has(parent))) depends.add(tensor);
  }
  const cotangents = new Map<Tensor, Cotangent>([[loss, { whole: [constant(1, loss.shape)], parts: [] }]]);
  const contribute = (tensor: Tensor): Cotangent => {
    const known = cotangents.get(tensor) ?? { whole: [], parts: [] };
    cotangents.set(tensor, known);
    return known;
  };
  for (const tensor of order.toReversed()) {
    const received = cotangents.get(tensor);
    if (received === undefined || !depends.has(tensor)) continue;
    const { source } = tensor;
    if (source.kind === "view") {
      const cotangent = gather(received, tensor);
      if (depends.has(source.base))
        contribute(source.base).parts.push({ offset: source.offset, tensor: cotangent });
    } else if (source.kind === "rule" && source.rule.vjp !== undefined) {
      const results = source.rule.vjp(source.inputs, tensor, gather(received, tensor));
      source.inputs.forEach((input, k) => {
        const result = results[k];
        if (result !== undefined && depends.has(input)) contribute(input).whole.push(result);
      });
    }
  }
  return leaves.map((leaf) => {
    const received = cotangents.get(leaf);
    return received && gather(received, leaf);
  });
}

/** What a tensor's cotangent is the sum of: terms of its own shape, and terms that belong to a part of it. */
interface Cotangent {
  readonly whole: Tensor[];
  readonly parts: Piece[];
}

function gather({ whole, parts }: Cotangent, tensor: Tensor): Tensor {
  const covering = parts.filter((part) => part.tensor.size === tensor.size).map((part) => part.tensor);
  const layers = layer(parts.filter((part) => part.tensor.size !== tensor.size));
  const terms = [...whole, ...covering, ...layers.map((pieces) => assembly(size(tensor.shape), pieces))];
  return total(terms.map((term) => view(term, 0, tensor.shape)));
}

/** Sums parts of equal range, and deals the rest into as few layers without overlap as first fit finds. */
function layer(parts: readonly Piece[]): Piece[][] {
  const byRange = new Map<string, Piece[]>();
  for (const part of parts) {
    const key = `${part.offset}:${part.tensor.size}`;
    byRange.set(key, [...(byRange.get(key) ?? []), part]);
  }
  const layers: Piece[][] = [];
  for (const same of byRange.values()) {
    const { offset } = same[0]!;
    const tensor = total(same.map((part) => view(part.tensor, 0, [part.tensor.size])));
    const free = layers.find((pieces) => pieces.every((other) => !overlap(other, { offset, tensor })));
    if (free) free.push({ offset, tensor });
    else layers.push([{ offset, tensor }]);
  }
  return layers;
}

function overlap(a: Piece, b: Piece): boolean {
  return a.offset < b.offset + b.tensor.size && b.offset < a.offset + a.tensor.size;
}
