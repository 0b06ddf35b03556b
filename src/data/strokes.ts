export type Point = readonly [x: number, y: number];

/** A quadratic Bézier curve: start, control point, end. */
export type Stroke = readonly [Point, Point, Point];

/** The points of a stroke at `segments + 1` equally spaced parameters. */
export function trace([start, control, end]: Stroke, segments: number): Point[] {
  return Array.from({ length: segments + 1 }, (_, i) => {
    const t = i / segments;
    const a = (1 - t) * (1 - t);
    const b = 2 * t * (1 - t);
    const c = t * t;
    return [a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]] as const;
  });
}

/**
 * Draws a line of the given radius (pixels) through the points into a square image, antialiased: the ink
 * falls from 1 to 0 over the pixel around the edge. Pixel centres have integer coordinates; ink adds up by
 * maximum, so crossings are no darker.
 * @param image size × size values, row-major, changed in place
 */
export function drawLine(image: Float32Array, size: number, points: readonly Point[], radius: number): void {
  const outer = radius + 0.5;
  const inner = Math.max(radius - 0.5, 0);
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1]!;
    const [x1, y1] = points[i]!;
    const dx = x1 - x0;
    const dy = y1 - y0;
    const square = dx * dx + dy * dy || 1;
    const left = Math.max(0, Math.ceil(Math.min(x0, x1) - outer));
    const right = Math.min(size - 1, Math.floor(Math.max(x0, x1) + outer));
    const top = Math.max(0, Math.ceil(Math.min(y0, y1) - outer));
    const bottom = Math.min(size - 1, Math.floor(Math.max(y0, y1) + outer));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const along = Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / square));
        const ex = x - x0 - along * dx;
        const ey = y - y0 - along * dy;
        const distance = ex * ex + ey * ey;
        if (distance >= outer * outer) continue;
        const ink = distance <= inner * inner ? 1 : Math.min(1, outer - Math.sqrt(distance));
        if (ink > image[y * size + x]!) image[y * size + x] = ink;
      }
    }
  }
}
