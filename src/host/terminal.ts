/** All that a program says to its user and hears from them. */
export { onInterrupt } from "./interrupt.ts";
export { finish, note, print } from "./output.ts";
export { type Progress, progress } from "./progress.ts";
