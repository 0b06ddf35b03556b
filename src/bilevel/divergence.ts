/** What to do about a parameter that is not finite after this inner step. */
export function remedyFor(innerStep: number): string {
  return innerStep > 1
    ? "Lower the inner learning rate"
    : "It is the first step: see whether the inner loss has a finite gradient at the start and at this α (a log, a square root or a quotient at 0?), or lower the inner learning rate";
}
