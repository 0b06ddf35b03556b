import type { End } from "./process-end.ts";

/** Milliseconds after which a page has been told of rejections that nobody handles. */
const MOMENT = 20;

/** The end of a page is that of its module, as no event tells that nothing is left to do; and of what has failed by then. */
export function pageEnd(): End {
  const failed = new Promise<never>((_, reject) => {
    addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      reject(event.reason);
    });
    addEventListener("error", (event) => {
      event.preventDefault();
      reject(event.error);
    });
  });
  return { failed, done: () => new Promise((resolve) => setTimeout(resolve, MOMENT)) };
}
