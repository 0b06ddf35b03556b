/**
 * WGSL functions that keep float32's accuracy where the language's own need not: WGSL allows sin and cos an
 * absolute error of 2^-11 (SwiftShader's is 1e-4), and 1 - tanh(x)² has no correct digit left beyond |x| = 9.
 */

/** `sine(x)` and `cosine(x)`: Cody and Waite's reduction to |r| ≤ π/4, then polynomials; for |x| up to 8192. */
export const trigonometric = `
fn sine_of_quarters(x: f32, quarters: i32) -> f32 {
  let n = round(x * 0.63661977);
  // π/2 in three parts; the products of the first two with n are exact.
  let r = ((x - n * 1.5703125) - n * 4.837512969970703125e-4) - n * 7.54978995489188216e-8;
  let z = r * r;
  let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
  let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
  let q = i32(n) + quarters;
  let value = select(s, c, (q & 1) == 1);
  return select(value, -value, (q & 2) == 2);
}
fn sine(x: f32) -> f32 { return sine_of_quarters(x, 0); }
fn cosine(x: f32) -> f32 { return sine_of_quarters(x, 1); }
`;

/** `hyperbolic_tangent(x)`, and its derivative `hyperbolic_slope(x)` = 1 / cosh(x)². */
export const hyperbolic = `
fn hyperbolic_tangent(x: f32) -> f32 {
  let z = x * x;
  if (z < 0.39) {
    return x + x * z * (-3.33332819422e-1 + z * (1.33314422036e-1 + z * (-5.37397155531e-2
      + z * (2.06390887954e-2 - z * 5.70498872745e-3))));
  }
  let e = exp(-2.0 * abs(x));
  return sign(x) * ((1.0 - e) / (1.0 + e));
}
fn hyperbolic_slope(x: f32) -> f32 {
  let e = exp(-2.0 * abs(x));
  return 4.0 * e / ((1.0 + e) * (1.0 + e));
}
`;

/** `logistic(x)` = 1 / (1 + e^-x) and its derivative `logistic_slope(x)`, without overflow. */
export const sigmoidal = `
fn logistic(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}
fn logistic_slope(x: f32) -> f32 {
  let e = exp(-abs(x));
  return e / ((1.0 + e) * (1.0 + e));
}
`;

/** `log_one_plus(e)` = ln(1 + e) for 0 ≤ e ≤ 1, by 2 artanh(e / (2 + e)). */
export const logarithmic = `
fn log_one_plus(e: f32) -> f32 {
  let s = e / (2.0 + e);
  let z = s * s;
  return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0
    + z * (1.0 / 11.0 + z / 13.0))))));
}
`;
