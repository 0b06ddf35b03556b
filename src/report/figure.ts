import type { Legend, LinearScale, LogScale, Mark, Scale, Spec, Axis as VegaAxis } from "vega";

export interface Figure {
  readonly title?: string;
  readonly panels: readonly Panel[];
  /** Panels beside one another; the rest come below. Default all. */
  readonly across?: number;
  /** What a dashed curve is, for the legend: "bound". */
  readonly dashed?: string;
}

export interface Panel {
  readonly title?: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly curves: readonly Curve[];
}

export interface Axis {
  readonly title: string;
  /** A logarithmic axis has no place for numbers ≤ 0: a curve is interrupted there. */
  readonly log?: boolean;
  /** What lies outside is cut off; default from the smallest to the largest number. */
  readonly range?: readonly [number, number];
  /** Where numbers are written; default round ones. */
  readonly ticks?: readonly number[];
}

export interface Curve {
  /** Curves of one name have one colour, in every panel. */
  readonly name: string;
  /** x and y; where y is not finite, the curve is interrupted. */
  readonly points: readonly (readonly [number, number])[];
  readonly dashed?: boolean;
}

/** Okabe and Ito's colours, which the colour-blind tell apart; grey for the yellow that is hard to see on white. */
const COLOURS = ["#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888"];
/** Their number has no common factor with that of the colours: 40 pairs of the two come before the first again. */
const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"];
const DASH = [5, 3];

/** Of a panel's area in pixels: alone in its row, and beside others. */
const LARGE = { width: 440, height: 300 };
const SMALL = { width: 270, height: 190 };
type Size = typeof LARGE;

/** On a longer curve only so many points, spread over it, are marked. */
const MARKED = 8;

/** Draws curves as an SVG document. @throws RangeError for a figure without panels */
export async function figure({ title, panels, across = panels.length, dashed }: Figure): Promise<string> {
  if (panels.length === 0) throw new RangeError("a figure needs a panel");
  const names = [...new Set(panels.flatMap(({ curves }) => curves.map(({ name }) => name)))];
  const size = across === 1 ? LARGE : SMALL;
  const spec: Spec = {
    $schema: "https://vega.github.io/schema/vega/v6.json",
    background: "white",
    padding: 10,
    ...(title !== undefined && {
      title: { text: title, anchor: "start", fontSize: 15, fontWeight: "normal", offset: 14 },
    }),
    layout: { columns: across, padding: 24, bounds: "full", align: "each" },
    scales: styleScales(names, dashed),
    legends: legends(names, across * size.width, dashed),
    marks: panels.map((panel) => panelMark(panel, size, names)),
    config: {
      axis: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", gridColor: "#e4e4e4" },
      legend: { labelFontSize: 12, labelLimit: 400, symbolSize: 80 },
    },
  };
  // Large, and needed by few programs: loaded where something is drawn.
  const { parse, View } = await import("vega");
  const view = new View(parse(spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  return svg;
}

function styleScales(names: readonly string[], dashed: string | undefined): Scale[] {
  return [
    { name: "colour", type: "ordinal", domain: [...names], range: names.map((_, i) => colour(i)) },
    { name: "shape", type: "ordinal", domain: [...names], range: names.map((_, i) => shape(i)) },
    ...(dashed === undefined
      ? []
      : [{ name: "dash", type: "ordinal" as const, domain: [dashed], range: [DASH] }]),
  ];
}

const colour = (index: number) => COLOURS[index % COLOURS.length]!;
const shape = (index: number) => SHAPES[index % SHAPES.length]!;

/** Below the panels, in as many columns as there is room for. */
function legends(names: readonly string[], width: number, dashed: string | undefined): Legend[] {
  const longest = Math.max(...names.map((name) => name.length));
  const columns = Math.max(1, Math.floor(width / (40 + 10 * longest)));
  const below = { orient: "bottom", direction: "horizontal", columnPadding: 16 } as const;
  return [
    { ...below, fill: "colour", shape: "shape", columns },
    ...(dashed === undefined
      ? []
      : [
          {
            ...below,
            strokeDash: "dash",
            symbolType: "stroke",
            symbolStrokeWidth: 1.5,
            symbolStrokeColor: "#000000",
            symbolSize: 300,
          },
        ]),
  ];
}

function panelMark({ title, x, y, curves }: Panel, size: Size, names: readonly string[]): Mark {
  const { width, height } = size;
  const shown = curves.flatMap(({ points }) => points.filter((point) => isShown(point, x, y)));
  const across = settled(
    x,
    shown.map(([value]) => value),
  );
  const up = settled(
    y,
    shown.map(([, value]) => value),
  );
  return {
    type: "group",
    encode: {
      update: { width: { value: width }, height: { value: height }, stroke: { value: "#b0b0b0" } },
    },
    signals: [
      { name: "width", value: width },
      { name: "height", value: height },
    ],
    scales: [
      { name: "x", range: "width", ...across.scale },
      { name: "y", range: "height", ...up.scale },
    ],
    axes: [
      { scale: "x", orient: "bottom", title: x.title, ...across.ticks },
      { scale: "y", orient: "left", title: y.title, ...up.ticks },
    ],
    data: curves.flatMap(({ points, dashed }, index) => {
      const values = points.map((point) => ({ x: point[0], y: point[1], shown: isShown(point, x, y) }));
      const marked = values.filter(
        (point, at) =>
          point.shown && isInside(point.x, x) && isInside(point.y, y) && isMarked(at, values.length, index),
      );
      return [
        { name: `curve ${index}`, values },
        { name: `marks ${index}`, values: dashed ? [] : marked },
      ];
    }),
    // The curve named first, the one to compare with, lies on top.
    marks: [
      ...curves
        .map((curve, index) => curveMarks(curve, index, names.indexOf(curve.name)))
        .reverse()
        .flat(),
      ...(title === undefined ? [] : [heading(title, width)]),
    ],
  };
}

function heading(title: string, width: number): Mark {
  const at = { x: { value: width / 2 }, y: { value: -12 }, align: { value: "center" } } as const;
  return { type: "text", encode: { update: { ...at, text: { value: title }, fontSize: { value: 13 } } } };
}

function isShown([left, up]: readonly [number, number], x: Axis, y: Axis): boolean {
  const fits = (value: number, { log }: Axis) => Number.isFinite(value) && (!log || value > 0);
  return fits(left, x) && fits(up, y);
}

const isInside = (value: number, { range: [low, high] = [-Infinity, Infinity] }: Axis) =>
  value >= low && value <= high;

/** Each curve starts its marks elsewhere, so that they do not hide one another where curves meet. */
function isMarked(at: number, count: number, curve: number): boolean {
  if (count <= 2 * MARKED) return true;
  const every = Math.ceil(count / MARKED);
  return at % every === (3 * curve) % every;
}

interface Settled {
  readonly scale: Omit<LinearScale, "name"> | Omit<LogScale, "name">;
  readonly ticks: Omit<VegaAxis, "scale" | "orient">;
}

/** An axis for these numbers: its ends are round ones, unless its range or its ticks are given. */
function settled({ log, range, ticks }: Axis, numbers: readonly number[]): Settled {
  const [low, high] = range ?? extent(numbers);
  const isGiven = range !== undefined || ticks !== undefined;
  const common = { grid: true, labelOverlap: true, ...(ticks && { values: [...ticks], format: "~g" }) };
  if (!log) {
    return {
      scale: { type: "linear", domain: [low, high], nice: !isGiven, zero: false },
      ticks: { tickCount: 5, ...common },
    };
  }
  const [least, most] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const powers = Array.from({ length: most - least + 1 }, (_, i) => 10 ** (least + i));
  const every = Math.ceil(powers.length / 8);
  return {
    scale: { type: "log", domain: isGiven ? [low, high] : [10 ** least, 10 ** most] },
    ticks: {
      values: powers.filter((_, i) => i % every === 0),
      format: least >= -3 && most <= 4 ? "~g" : ".0e",
      ...common,
    },
  };
}

function extent(numbers: readonly number[]): [number, number] {
  if (numbers.length === 0) return [1, 10];
  const [low, high] = numbers.reduce<[number, number]>(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [numbers[0]!, numbers[0]!],
  );
  if (low < high) return [low, high];
  return low > 0 ? [low / 2, 2 * low] : [low - 1, low + 1];
}

function curveMarks({ dashed }: Curve, index: number, style: number): Mark[] {
  const at = { x: { scale: "x", field: "x" }, y: { scale: "y", field: "y" } };
  const paint = { value: colour(style) };
  return [
    {
      type: "line",
      from: { data: `curve ${index}` },
      clip: true,
      encode: {
        update: {
          ...at,
          defined: { field: "shown" },
          stroke: paint,
          strokeWidth: { value: 1.5 },
          ...(dashed && { strokeDash: { value: DASH } }),
        },
      },
    },
    {
      type: "symbol",
      from: { data: `marks ${index}` },
      encode: { update: { ...at, shape: { value: shape(style) }, size: { value: 36 }, fill: paint } },
    },
  ];
}
