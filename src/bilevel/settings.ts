/** What a part of a run was made with; what was left out is undefined. */
export type Settings = Readonly<Record<string, number | string | boolean | undefined>>;

/** "greedy, gamma 0.9" */
export function describe(name: string, settings: Settings = {}): string {
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  return [name, ...given.map(([setting, value]) => `${setting} ${value}`)].join(", ");
}
