/**
 * What a page's console was given, as a line that reads as Node would print it: long arrays and what lies deep are cut
 * short. It goes into the page as text and therefore uses nothing from outside of itself.
 */
export function consoleText(values: readonly unknown[]): string {
  const longest = 100;
  const deepest = 2;
  const show = (value: unknown, within: readonly object[]): string => {
    if (typeof value === "string") return within.length > 0 ? JSON.stringify(value) : value;
    if (Object.is(value, -0)) return "-0";
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "function") return `[Function: ${value.name || "(anonymous)"}]`;
    if (typeof value !== "object" || value === null) return String(value);
    if (value instanceof Error) return value.stack ?? String(value);
    if (value instanceof Date) return value.toISOString();
    if (within.includes(value)) return "[Circular]";
    const name: string = value.constructor?.name ?? "Object";
    if (within.length > deepest) return `[${name}]`;
    const list = (items: ArrayLike<unknown>): string => {
      const shown = Array.from({ length: Math.min(items.length, longest) }, (_, i) =>
        show(items[i], [...within, value]),
      );
      const more = items.length - longest;
      if (more > 0) shown.push(`... ${more} more item${more > 1 ? "s" : ""}`);
      return shown.length > 0 ? `[ ${shown.join(", ")} ]` : "[]";
    };
    if (Array.isArray(value)) return list(value);
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
      const items = value as ArrayBufferView & ArrayLike<unknown>;
      return `${name}(${items.length}) ${list(items)}`;
    }
    if (value instanceof Map || value instanceof Set) return `${name}(${value.size}) ${list([...value])}`;
    const fields = Object.entries(value).map(([key, field]) => `${key}: ${show(field, [...within, value])}`);
    const body = fields.length > 0 ? `{ ${fields.join(", ")} }` : "{}";
    return name === "Object" ? body : `${name} ${body}`;
  };
  return values.map((value) => show(value, [])).join(" ");
}
