import { expect, test } from "vitest";
import { estimate, shown } from "../../scripts/common/interval.ts";

test("mean and half width by Student's t", () => {
  const five = estimate([1, 2, 3, 4, 5]);
  expect(five.mean).toBe(3);
  // t(0.975, 4) · √(2.5 / 5)
  expect(five.halfWidth).toBeCloseTo(2.776 * Math.SQRT1_2, 6);
  expect(shown(five, 2)).toBe("3.00 ± 1.96");
  expect(shown(five, 0, 100)).toBe("300 ± 196");
});

test("beyond the table the quantile is within 1e-3 of the exact one", () => {
  // t(0.975, 11), t(0.975, 30) and t(0.975, 100)
  for (const [freedom, exact] of [
    [11, 2.20099],
    [30, 2.04227],
    [100, 1.98397],
  ] as const) {
    const each = Array.from({ length: freedom + 1 }, (_, i) => (i % 2 === 0 ? 1 : -1));
    const mean = each.reduce((sum, value) => sum + value, 0) / each.length;
    const spread = Math.sqrt(
      each.reduce((sum, value) => sum + (value - mean) ** 2, 0) / freedom / each.length,
    );
    expect(Math.abs(estimate(each).halfWidth! / spread - exact)).toBeLessThan(1e-3);
  }
});

test("one number has no interval", () => {
  expect(estimate([0.5])).toEqual({ mean: 0.5, each: [0.5] });
  expect(shown(estimate([0.5]), 1, 100)).toBe("50.0");
});
