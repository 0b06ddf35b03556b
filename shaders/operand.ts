import { unorm8At } from "./unorm8.ts";

/** Where a tensor's elements stand in a bound buffer: first element, and elements from one lane to the next. */
export interface View {
  readonly offset: number;
  readonly lane: number;
  /** Lanes after which the first one's elements come again. */
  readonly period?: number;
  /** Of an output that is computed for what follows in the kernel, and not written. */
  readonly isHeld?: true;
  /** Elements are bytes, four to a word: see `unorm8.ts`. */
  readonly isUnorm8?: true;
}

/** The place of a second result: in a buffer of its own, or in that of the first, which is then bound once. */
export interface SecondView extends View {
  readonly inFirst: boolean;
}

/** A tensor as a kernel sees it. An absent part is not bound; a literal is a constant that stands in the code. */
export interface Operand {
  readonly primal?: View;
  readonly tangent?: View;
  readonly literal?: number;
}

/** Invocations a workgroup in kernels that treat elements one by one. */
export const THREADS = 64;

/** Elements, in each of some lanes, that the threads of however many workgroups stride over. */
export interface Strided {
  readonly elements: number;
  readonly lanes: number;
}

export function linearGrid(elements: number, lanes = 1): Strided {
  return { elements, lanes };
}

/**
 * WGSL head of a kernel over `count` elements: `i` is the element, `lane` the lane. Workgroups may be few: a thread takes
 * one element after another, as many apart as there are threads.
 */
export function linearMain(count: number): string {
  return `@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < ${count}u; i += groups.x * ${THREADS}u) { element(i, id.z); }
}
fn element(i: u32, lane: u32) {`;
}

/** The least that WebGPU promises for `maxComputeWorkgroupsPerDimension`. */
const MOST_GROUPS = 65535;

/** So many workgroups in x and, where they are too many for one dimension, y. */
export function lineOfGroups(count: number): [number, number] {
  const y = Math.ceil(count / MOST_GROUPS);
  return [Math.ceil(count / y), y];
}

/**
 * WGSL that sets `order`, or another name, to the number of a workgroup on such a line, counted from 0, where `group` is
 * its `workgroup_id`. Those behind the last, which fill up the y dimension, end there.
 */
export function orderOnLine(count: number, order = "order"): string {
  const [width, height] = lineOfGroups(count);
  return height === 1
    ? `let ${order} = group.x;`
    : `let ${order} = group.x + group.y * ${width}u;
  if (${order} >= ${count}u) { return; }`;
}

/** Declares a read-only buffer, or nothing when its view is absent. */
export function input(binding: number, name: string, view: View | undefined, type = "f32"): string {
  if (view === undefined) return "";
  return `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${view.isUnorm8 ? "u32" : type}>;`;
}

/** Declares a buffer that is written, or nothing when there is none. */
export function output(binding: number, name: string, view: View | undefined, type = "f32"): string {
  return view && !view.isHeld
    ? `@group(0) @binding(${binding}) var<storage, read_write> ${name}: array<${type}>;`
    : "";
}

/** Declares primal `name` and tangent `d_name` of input number `slot`. */
export function dualInput(slot: number, name: string, operand: Operand, type = "f32"): string {
  return `${input(2 * slot, name, operand.primal, type)}
${input(2 * slot + 1, `d_${name}`, operand.tangent, type)}`;
}

/** Declares primal `name` and tangent `d_name` of the output, which follows `slot` inputs. */
export function dualOutput(slot: number, name: string, operand: Operand, type = "f32"): string {
  return `${output(2 * slot, name, operand.primal, type)}
${output(2 * slot + 1, `d_${name}`, operand.tangent, type)}`;
}

/** WGSL for the lane whose elements the current one sees. */
export function laneOf({ period }: View): string {
  return period === undefined ? "lane" : `(lane % ${period}u)`;
}

/** WGSL for the position of element `index` of the current lane (nothing for a view that is not bound). */
export function at(view: View | undefined, index: string): string {
  if (view === undefined) return "";
  const terms = [
    view.offset > 0 ? `${view.offset}u` : "",
    view.lane > 0 ? `${laneOf(view)} * ${view.lane}u` : "",
    index,
  ];
  return terms.filter((term) => term !== "" && term !== "0u").join(" + ") || "0u";
}

/** WGSL that reads element `index` of the buffer `name`. */
export function readElement(name: string, view: View | undefined, index: string): string {
  return view?.isUnorm8 ? unorm8At(name, at(view, index)) : `${name}[${at(view, index)}]`;
}

/** WGSL for the primal of element `index`: a load, or the literal. */
export function primal(name: string, operand: Operand, index: string): string {
  return operand.literal === undefined ? readElement(name, operand.primal, index) : float(operand.literal);
}

/** WGSL for the tangent of element `index`; zero where there is none. */
export function tangent(name: string, operand: Operand, index: string): string {
  return operand.tangent ? `d_${name}[${at(operand.tangent, index)}]` : "0.0";
}

/** A number as an f32 literal of WGSL. */
export function float(value: number): string {
  const text = String(Math.fround(value));
  if (!Number.isFinite(Math.fround(value))) throw new RangeError(`${value} is not a finite 32-bit number`);
  const literal = `${/[.e]/.test(text) ? text : `${text}.0`}f`;
  return value < 0 ? `(${literal})` : literal;
}
