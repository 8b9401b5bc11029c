import { scaleLinear, type ScaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import type { TrainResult } from '../../training/index.ts';

type Point = readonly [step: number, value: number];

interface Curve {
  readonly name: string;
  readonly color: string;
  readonly points: readonly Point[];
  /** Few points are shown as such. */
  readonly hasDots: boolean;
}

/** Points of a curve beyond this cannot be told apart. */
const MAX_POINTS = 1000;

const WIDTH = 720;
const MARGIN = { left: 64, right: 16, top: 36, bottom: 40 } as const;
const PANEL_HEIGHT = 220;
const GRID = '#e0e0e0';

/** Loss and accuracy by step, one above the other, as an SVG document. Equal runs give equal documents. */
export function drawCurves({ trainLosses, validations }: Pick<TrainResult, 'trainLosses' | 'validations'>): string {
  const of = (pick: (one: { loss: number; accuracy: number }) => number): Point[] =>
    validations.map((one): Point => [one.step, pick(one)]);
  const train = thinned(trainLosses.map((loss, index): Point => [index + 1, loss]));
  const losses: Curve[] = [
    { name: 'training loss', color: '#4c78a8', points: train, hasDots: train.length < 3 },
    { name: 'held-out loss', color: '#f58518', points: of(({ loss }) => loss), hasDots: true },
  ];
  const accuracies: Curve[] = [
    { name: 'held-out accuracy', color: '#54a24b', points: of(({ accuracy }) => accuracy), hasDots: true },
  ];
  const panels = validations.length > 0 ? [losses, accuracies] : [losses.slice(0, 1)];
  const x = scaleLinear()
    .domain([0, Math.max(1, trainLosses.length)])
    .range([MARGIN.left, WIDTH - MARGIN.right]);
  const height = panels.length * (PANEL_HEIGHT + MARGIN.top + MARGIN.bottom);
  const body = panels.map((curves, index) => {
    const top = index * (PANEL_HEIGHT + MARGIN.top + MARGIN.bottom) + MARGIN.top;
    return drawPanel(curves, x, top);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...body.flat(),
    '</svg>\n',
  ].join('\n');
}

function drawPanel(curves: readonly Curve[], x: ScaleLinear<number, number>, top: number): string[] {
  const values = curves.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
  const bottom = top + PANEL_HEIGHT;
  const y = scaleLinear()
    .domain([values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)])
    .nice()
    .range([bottom, top]);
  const right = WIDTH - MARGIN.right;
  const rows = y.ticks(5).flatMap((tick) => {
    const at = round(y(tick));
    return [
      `<line x1="${MARGIN.left}" x2="${right}" y1="${at}" y2="${at}" stroke="${GRID}"/>`,
      `<text x="${MARGIN.left - 6}" y="${at + 4}" text-anchor="end">${y.tickFormat(5)(tick)}</text>`,
    ];
  });
  const columns = x
    .ticks(8)
    .filter(Number.isInteger)
    .map((tick) => `<text x="${round(x(tick))}" y="${bottom + 16}" text-anchor="middle">${tick}</text>`);
  const path = line<Point>(
    ([step]) => round(x(step)),
    ([, value]) => round(y(value)),
  ).defined(([, value]) => Number.isFinite(value));
  const drawn = curves.flatMap(({ name, color, points, hasDots }, index) => [
    `<path d="${path(points) ?? ''}" fill="none" stroke="${color}" stroke-width="1.5"/>`,
    ...(hasDots
      ? points.map(([s, v]) => `<circle cx="${round(x(s))}" cy="${round(y(v))}" r="2.5" fill="${color}"/>`)
      : []),
    `<text x="${MARGIN.left + 160 * index}" y="${top - 14}" fill="${color}">${name}</text>`,
  ]);
  return [
    ...rows,
    ...columns,
    `<text x="${(MARGIN.left + right) / 2}" y="${bottom + 32}" text-anchor="middle">step</text>`,
    ...drawn,
  ];
}

/** A hundredth of a pixel is enough. */
function round(pixels: number): number {
  return Math.round(100 * pixels) / 100;
}

/** Means of neighbours, so that a long run's curve is as long as its width. */
function thinned(points: readonly Point[]): readonly Point[] {
  const size = Math.ceil(points.length / MAX_POINTS);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, index): Point => {
    const group = points.slice(index * size, (index + 1) * size);
    return [group[group.length - 1][0], group.reduce((sum, [, value]) => sum + value, 0) / group.length];
  });
}
