/** Small dense matrices in float64, for references. */

export type Matrix = readonly (readonly number[])[];

export function apply(a: Matrix, x: readonly number[]): number[] {
  return a.map((row) => row.reduce((sum, value, j) => sum + value * x[j]!, 0));
}

export function transposed(a: Matrix): number[][] {
  return a[0]!.map((_, j) => a.map((row) => row[j]!));
}

/** Aᵀ diag(d) A / n */
export function gram(a: Matrix, n = 1, d: readonly number[] = a.map(() => 1)): number[][] {
  const columns = transposed(a);
  return columns.map((u) =>
    columns.map((v) => u.reduce((sum, value, i) => sum + (value * d[i]! * v[i]!) / n, 0)),
  );
}

/** x with A x = b, by elimination with pivots. */
export function solve(a: Matrix, b: readonly number[]): number[] {
  const rows = a.map((row, i) => [...row, b[i]!]);
  const n = rows.length;
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++)
      if (Math.abs(rows[i]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = i;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let i = 0; i < n; i++) {
      if (i === column) continue;
      const factor = rows[i]![column]! / rows[column]![column]!;
      for (let j = column; j <= n; j++) rows[i]![j]! -= factor * rows[column]![j]!;
    }
  }
  return rows.map((row, i) => row[n]! / row[i]!);
}

/** Smallest and largest eigenvalue of a symmetric matrix, by Jacobi's rotations. */
export function extremes(symmetric: Matrix): [smallest: number, largest: number] {
  const a = symmetric.map((row) => [...row]);
  const n = a.length;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(a[p]![q]!) < 1e-300) continue;
        const theta = (a[q]![q]! - a[p]![p]!) / (2 * a[p]![q]!);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[k]![p]!, a[k]![q]!];
          [a[k]![p], a[k]![q]] = [c * x - s * y, s * x + c * y];
        }
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[p]![k]!, a[q]![k]!];
          [a[p]![k], a[q]![k]] = [c * x - s * y, s * x + c * y];
        }
      }
    }
  }
  const values = a.map((row, i) => row[i]!);
  return [Math.min(...values), Math.max(...values)];
}

/** Spectral norm. */
export function spectralNorm(a: Matrix): number {
  return Math.sqrt(extremes(gram(a))[1]);
}

/** A flat array in rows. */
export function rows(flat: ArrayLike<number>, width: number): number[][] {
  return Array.from({ length: flat.length / width }, (_, i) =>
    Array.from({ length: width }, (_, j) => flat[i * width + j]!),
  );
}
