import { UsageError } from "../../src/index.ts";

/** What `make` gives of numbers that flags gave. @throws UsageError, which says `what` was asked for, for a RangeError */
export function refusing<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`${what}: ${error.message}`);
    throw error;
  }
}
