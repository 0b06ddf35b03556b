/** What an optimizer's adjoint does at once of the move between two products of the reverse sweep. */
export interface PullBackMove {
  /** p takes in the product that ran. */
  readonly after: boolean;
  /** r is made for the next one. */
  readonly before: boolean;
  /** A product ran, and another one follows: the optimizer's state carries an adjoint from one to the other. */
  readonly carry: boolean;
}
