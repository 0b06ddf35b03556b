/** What a value is, for people: it stands where something else was wanted. */
export function kindOf(given: unknown): string {
  if (given === undefined || given === null) return String(given);
  if (typeof given === "number") return `the number ${given}`;
  if (typeof given === "string") return `the text ${JSON.stringify(given.slice(0, 40))}`;
  if (typeof given === "function") return "a function";
  if (typeof given !== "object") return `a ${typeof given}`;
  if (Array.isArray(given)) return "a plain array";
  if (ArrayBuffer.isView(given)) return `a ${given.constructor.name}`;
  if ("then" in given) return "a promise";
  if ("source" in given && "shape" in given) return "a graph tensor";
  return "data" in given && "shape" in given ? "Values, numbers on the host" : "an object";
}
