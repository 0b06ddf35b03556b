/** Where a tensor's elements stand in a bound buffer: first element, and elements from one lane to the next. */
export interface View {
  readonly offset: number;
  readonly lane: number;
}

/** A tensor as a kernel sees it. An absent part is not bound; a literal is a constant that stands in the code. */
export interface Operand {
  readonly primal?: View;
  readonly tangent?: View;
  readonly literal?: number;
}

/** Invocations a workgroup in kernels that treat elements one by one. */
export const THREADS = 64;

const ROW = 32768;

/** Workgroups in x and y that give every element of `count` an invocation. */
export function linearGrid(count: number, threads = THREADS): [number, number] {
  const groups = Math.ceil(count / threads);
  return groups <= ROW ? [groups, 1] : [ROW, Math.ceil(groups / ROW)];
}

/** WGSL head of a kernel over `count` elements: `i` is the element, `lane` the lane. */
export function linearMain(count: number, threads = THREADS): string {
  return `@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x + id.y * ${ROW * threads}u;
  let lane = id.z;
  if (i >= ${count}u) { return; }`;
}

/** Declares a read-only buffer, or nothing when its view is absent. */
export function input(binding: number, name: string, view: View | undefined, type = "f32"): string {
  return view ? `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${type}>;` : "";
}

/** Declares a buffer that is written, or nothing when its view is absent. */
export function output(binding: number, name: string, view: View | undefined, type = "f32"): string {
  return view ? `@group(0) @binding(${binding}) var<storage, read_write> ${name}: array<${type}>;` : "";
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

/** WGSL for the position of element `index` of the current lane (nothing for a view that is not bound). */
export function at(view: View | undefined, index: string): string {
  if (view === undefined) return "";
  const terms = [
    view.offset > 0 ? `${view.offset}u` : "",
    view.lane > 0 ? `lane * ${view.lane}u` : "",
    index,
  ];
  return terms.filter((term) => term !== "" && term !== "0u").join(" + ") || "0u";
}

/** WGSL for the primal of element `index`: a load, or the literal. */
export function primal(name: string, operand: Operand, index: string): string {
  return operand.literal === undefined ? `${name}[${at(operand.primal, index)}]` : float(operand.literal);
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
