import { encode } from "fast-png";

export type Color = readonly [red: number, green: number, blue: number];

export interface Tile {
  /** Pictures side by side, each rows × columns from 0 (drawn black) to 1 (drawn white). */
  readonly images: readonly Float32Array[];
  /** The colour of its frame, 0 … 255 a channel. */
  readonly frame: Color;
}

export interface SheetOptions {
  readonly rows: number;
  readonly columns: number;
  /** Tiles in one row of the sheet. */
  readonly across: number;
  /** Pixels of the sheet for one of an image. @default 3 */
  readonly scale?: number;
}

const FRAME = 4;
const GAP = 6;
const PAPER = 24;

/** The bytes of a PNG that shows framed tiles, row by row. All tiles hold equally many images. */
export function sheet(
  tiles: readonly Tile[],
  { rows, columns, across, scale = 3 }: SheetOptions,
): Uint8Array {
  const images = tiles[0]?.images.length ?? 0;
  const tileWidth = scale * columns * images + 2 * FRAME;
  const tileHeight = scale * rows + 2 * FRAME;
  const width = Math.min(across, tiles.length) * (tileWidth + GAP) + GAP;
  const height = Math.ceil(tiles.length / across) * (tileHeight + GAP) + GAP;
  const data = new Uint8Array(3 * width * height).fill(PAPER);
  const paint = (x: number, y: number, w: number, h: number, color: Color) => {
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) data.set(color, 3 * (row * width + column));
    }
  };
  tiles.forEach((tile, index) => {
    const left = GAP + (index % across) * (tileWidth + GAP);
    const top = GAP + Math.floor(index / across) * (tileHeight + GAP);
    paint(left, top, tileWidth, tileHeight, tile.frame);
    tile.images.forEach((image, position) => {
      const x = left + FRAME + position * scale * columns;
      for (let pixel = 0; pixel < rows * columns; pixel++) {
        const grey = Math.round(255 * Math.min(1, Math.max(0, image[pixel] ?? 0)));
        const across = x + scale * (pixel % columns);
        const down = top + FRAME + scale * Math.floor(pixel / columns);
        paint(across, down, scale, scale, [grey, grey, grey]);
      }
    });
  });
  return encode({ width, height, data, channels: 3, depth: 8 });
}
