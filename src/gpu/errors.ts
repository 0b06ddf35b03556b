/** Base of every error the engine raises on purpose; `name` tells which kind. */
export class HypergradError extends Error {
  override name = "HypergradError";
}

/** A plan that cannot run on this adapter; raised before anything is allocated. */
export class MemoryError extends HypergradError {
  override name = "MemoryError";
}

/** WebGPU refused a shader, a binding or a command: a defect of the engine or of a user's WGSL expression. */
export class ValidationError extends HypergradError {
  override name = "ValidationError";
}

/** The adapter had no memory left, although the plan was within its limits. */
export class OutOfMemoryError extends HypergradError {
  override name = "OutOfMemoryError";
}

/** The device went away (driver reset, watchdog, `destroy()`); everything on it is gone. */
export class DeviceLostError extends HypergradError {
  override name = "DeviceLostError";
}

/**
 * A value became NaN or infinite; `outerStep` and `innerStep` (1-based) say where it was first seen, and `lanes` (0-based)
 * in which of several.
 */
export class DivergenceError extends HypergradError {
  override name = "DivergenceError";
  readonly outerStep: number;
  readonly innerStep: number | undefined;
  readonly lanes: readonly number[] | undefined;
  constructor(message: string, outerStep: number, innerStep?: number, lanes?: readonly number[]) {
    super(message);
    this.outerStep = outerStep;
    this.innerStep = innerStep;
    this.lanes = lanes;
  }
}
