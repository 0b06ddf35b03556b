import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { bundle } from "../../src/cli/bundle.mjs";
import { chromiumOptions } from "../../src/cli/chromium.ts";
import { type Axis, type Curve, figure } from "../../src/report/figure.ts";
import { root } from "../cli/launcher.ts";

const x: Axis = { title: "step" };
const loss: Axis = { title: "loss", log: true };
const one = (curves: readonly Curve[], y = loss) => ({ panels: [{ x, y, curves }] });

/** What lines of a figure are drawn with. */
const lines = (svg: string) =>
  [...svg.matchAll(/<g class="mark-line[^>]*>(<path[^>]*>)/g)].map(([, path = ""]) => {
    const of = (name: string) => path.match(new RegExp(` ${name}="([^"]*)"`))?.[1];
    return { d: of("d")!, colour: of("stroke"), dashes: of("stroke-dasharray") };
  });

test("titles, legend and a dashed bound in its curve's colour, one colour for a name in all panels", async () => {
  const falling = (factor: number) => Array.from({ length: 50 }, (_, i) => [i, factor ** i] as const);
  const svg = await figure({
    title: "All of it",
    dashed: "the bound",
    across: 2,
    panels: [
      {
        title: "left",
        x,
        y: loss,
        curves: [
          { name: "rmd", points: falling(0.5) },
          { name: "greedy", points: falling(0.6) },
          { name: "greedy", points: falling(0.7), dashed: true },
        ],
      },
      { title: "right", x, y: loss, curves: [{ name: "greedy", points: falling(0.8) }] },
    ],
  });
  expect(svg).toMatch(/^<svg [^>]*width="\d+" height="\d+"/);
  const texts = [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);
  for (const text of ["All of it", "left", "right", "step", "loss", "rmd", "greedy", "the bound"]) {
    expect(texts).toContain(text);
  }
  expect(texts.filter((text) => text === "greedy")).toHaveLength(1);
  const drawn = lines(svg);
  expect(drawn.filter(({ dashes }) => dashes !== undefined)).toHaveLength(1);
  expect(new Set(drawn.map(({ colour }) => colour)).size).toBe(2);
  expect(drawn.filter(({ colour }) => colour === "#000000")).toHaveLength(1);
});

test("a curve is interrupted where there is no number, or none for a logarithm", async () => {
  const pieces = async (values: readonly number[], y: Axis) => {
    const svg = await figure(one([{ name: "a", points: values.map((value, i) => [i, value]) }], y));
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    return lines(svg)[0]!.d.match(/M/g)!.length;
  };
  expect(await pieces([4, 2, 0, 1, 0.5], loss)).toBe(2);
  expect(await pieces([4, 2, 0, 1, 0.5], { title: "loss" })).toBe(1);
  expect(await pieces([4, 2, Number.NaN, 1, Number.POSITIVE_INFINITY, 1, 2], { title: "loss" })).toBe(3);
});

test.each([
  ["nothing to see", [{ name: "a", points: [] }]],
  ["one point", [{ name: "a", points: [[1, 3]] }]],
  ["a constant", [0, -2, 1e-30].map((y) => ({ name: String(y), points: [1, 2].map((x) => [x, y]) }))],
] as [string, Curve[]][])("%s is drawn", async (_, curves) => {
  for (const y of [loss, { title: "loss" }, { ...loss, range: [1e-3, 1] } as const]) {
    expect(await figure(one(curves, y))).not.toMatch(/NaN|Infinity|undefined/);
  }
});

test("a figure without panels is refused", async () => {
  await expect(figure({ panels: [] })).rejects.toThrow("needs a panel");
});

test("no text is cut off", async () => {
  const curves = (count: number): Curve[] =>
    Array.from({ length: count }, (_, i) => ({
      name: `estimator with a long name (${i}, 1e-6)`,
      points: [1, 2, 3].map((x) => [x, 10 ** (x * i)] as const),
    }));
  const folder = await mkdtemp(join(tmpdir(), "hypergrad-figure-"));
  const browser = await chromium.launch(await chromiumOptions("swiftshader"));
  try {
    const page = await browser.newPage();
    for (const [count, across] of [
      [2, 1],
      [12, 1],
      [12, 3],
    ] as const) {
      const panels = Array.from({ length: 3 }, () => ({ x, y: loss, curves: curves(count) }));
      const file = join(folder, `${count}-${across}.svg`);
      await writeFile(file, await figure({ title: "A title", panels, across, dashed: "its bound" }));
      await page.goto(pathToFileURL(file).href);
      const outside = await page.evaluate(() => {
        const paper = document.documentElement.getBoundingClientRect();
        return [...document.querySelectorAll("text")]
          .filter((text) => {
            const { left, right, top, bottom } = text.getBoundingClientRect();
            return left < paper.left || right > paper.right || top < paper.top || bottom > paper.bottom;
          })
          .map((text) => text.textContent);
      });
      expect(outside, `${count} curves, ${across} across`).toEqual([]);
      expect(await page.locator("text", { hasText: "estimator with" }).count()).toBe(count);
    }
  } finally {
    await browser.close();
    await rm(folder, { recursive: true });
  }
});

test("only a program that draws has the drawing library in its bundle", async () => {
  const size = async (use: string) => {
    const source = `import { ${use} } from "hypergrad"; console.log(${use});`;
    const code = await bundle({
      source,
      folder: root,
      platform: "browser",
      library: `${root}src/index.ts`,
      main: `${root}entry.ts`,
    });
    return code.length / 2 ** 20;
  };
  const [plain, drawing] = [await size("table"), await size("figure")];
  console.log(`bundles with source maps: ${plain.toFixed(1)} MiB, with figures ${drawing.toFixed(1)} MiB`);
  expect(drawing - plain).toBeGreaterThan(1);
});
