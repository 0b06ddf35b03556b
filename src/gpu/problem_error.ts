import { HypergradError } from "./errors.ts";

/** A problem that cannot be meant as it is stated. */
export class ProblemError extends HypergradError {
  override name = "ProblemError";
}
