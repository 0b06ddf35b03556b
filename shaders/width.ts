import { at, type Operand, type View } from "./operand.ts";

/** Neighbours that one read or write moves as a vector. */
export type Width = 1 | 2 | 4;

/** The largest width that divides all of these: extents, strides, and what `placed` gives of views. */
export const fit = (lengths: readonly number[]): Width =>
  ([4, 2] as const).find((width) => lengths.every((length) => length % width === 0)) ?? 1;

/** Where views begin and how far their lanes lie apart, of those that there are. */
export const placed = (...views: readonly (View | undefined)[]): number[] =>
  views.flatMap((view) => (view ? [view.offset, view.lane] : []));

/** The type of so many neighbours. */
export const vector = (width: Width, of: "f32" | "i32" | "u32" = "f32"): string =>
  width === 1 ? of : `vec${width}<${of}>`;

/** WGSL for element `e` of vectors of that width that follow one another, in the one that holds it, named `name`. */
export const component = (name: string, width: Width, e: number): string =>
  width === 1 ? name : `${name}.${"xyzw"[e % width]}`;

/** WGSL of a vector of so many values as make one, or of the single one. */
export const packed = (values: readonly string[], of: "f32" | "i32" = "f32"): string =>
  `${vector(values.length as Width, of)}(${values.join(", ")})`;

/** A view counted in vectors. */
export const inVectors = (view: View, width: Width): View => ({
  ...view,
  offset: view.offset / width,
  lane: view.lane / width,
});

/** WGSL for the number of the vector that begins at element `index` (WGSL). */
export const vectorNumber = (index: string, width: Width): string =>
  width === 1 ? index : `(${index}) / ${width}u`;

/** WGSL that stores values, and their tangents, side by side as vector number `place` (WGSL) of `buffer` and of `d_buffer`. */
export function storeVector(
  buffer: string,
  out: Operand,
  place: string,
  values: { readonly primal: readonly string[]; readonly tangent: readonly string[] },
): string {
  const store = (name: string, half: "primal" | "tangent") => {
    const view = out[half];
    if (view === undefined || view.isHeld) return "";
    const width = values[half].length as Width;
    return `${name}[${at(inVectors(view, width), place)}] = ${packed(values[half])};`;
  };
  return `${store(buffer, "primal")} ${store(`d_${buffer}`, "tangent")}`;
}
