/**
 * Gradient descent with momentum, v_t = μ v_{t-1} + g_t, w_t = w_{t-1} - η v_t, without dampening. η and μ are
 * numbers, or name a group of hyperparameters that holds one value or one for each inner step.
 */
export interface Sgd<H extends string = string> {
  readonly lr: number | H;
  readonly momentum: number | H;
}

export function sgd(options: { lr: number; momentum?: number }): Sgd<never>;
export function sgd<H extends string>(options: { lr: number | H; momentum?: number | H }): Sgd<H>;
export function sgd({ lr, momentum = 0 }: { lr: number | string; momentum?: number | string }): Sgd {
  return { lr, momentum };
}
