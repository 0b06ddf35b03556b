/** Milliseconds between two looks at the device: what hearing of the end of some work may be late by. */
const PERIOD = 1;

/** The text of a function that is not JavaScript. */
const NATIVE = "function () { [native code] }";

let gentle = false;

/**
 * While anything is awaited, dawn.node looks at the device in every turn of the event loop, by the global setImmediate
 * (AsyncRunner::QueueTick, https://crbug.com/dawn/1127): a whole core, which a software adapter then lacks. From here on
 * its callbacks, which are native code, wait a moment; all others run as before. Can go when dawn.node waits without
 * polling.
 */
export function pollGently(): void {
  if (gentle) return;
  gentle = true;
  const original = globalThis.setImmediate;
  const patched = (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    Function.prototype.toString.call(callback) === NATIVE
      ? setTimeout(callback, PERIOD, ...args)
      : original(callback, ...args);
  // With what else there is of it: its form for promises.
  Object.defineProperties(patched, Object.getOwnPropertyDescriptors(original));
  Object.assign(globalThis, { setImmediate: patched });
}
