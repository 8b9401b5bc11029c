import { useEffect, useId, useMemo, useRef } from 'react';
import { useComputedColorScheme, VisuallyHidden } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import UPlot from 'uplot';
import { compact, dayOfYear, timeOfDay } from '../parts/format.ts';

/** Between two ticks of an axis that counts. */
const WHOLE = [1, 2, 5]
  .flatMap((first) => Array.from({ length: 9 }, (_, power) => first * 10 ** power))
  .toSorted((a, b) => a - b);

export interface Series {
  readonly name: string;
  /** A value for each point of the axis; null where there is none. */
  readonly values: readonly (number | null)[];
  /** Of the colours of the console; 1 to 4. */
  readonly color: 1 | 2 | 3 | 4;
  readonly isBars?: boolean;
  /** Few and far apart: each is drawn as a dot. */
  readonly hasDots?: boolean;
}

interface Props {
  /** What the chart shows, in a sentence for those who do not see it. */
  readonly label: string;
  readonly x: readonly number[];
  /** The axis is time, in seconds since 1970. */
  readonly isTime?: boolean;
  readonly xLabel?: string;
  readonly series: readonly Series[];
  readonly height?: number;
  readonly format?: (value: number) => string;
}

/** Lines or bars over one axis, drawn anew when the data, the width or the theme changes. */
export function TimeChart({ label, x, isTime = false, xLabel, series, height = 220, format = compact }: Props) {
  const { ref, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme('light');
  const id = useId();
  const shape = JSON.stringify([series.map(({ name, isBars, hasDots }) => [name, isBars, hasDots]), isTime, xLabel]);
  const data = useMemo((): UPlot.AlignedData => [[...x], ...series.map(({ values }) => [...values])], [x, series]);
  const plot = useRef<UPlot | null>(null);

  // Drawn from nothing for what cannot be changed on the way; new values only go into it.
  useEffect(() => {
    if (!host.current || width === 0) return undefined;
    const made = new UPlot(optionsOf({ series, isTime, xLabel, width, height, format }), data, host.current);
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
    };
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [width, height, scheme, shape]);
  useEffect(() => plot.current?.setData(data), [data]);

  return (
    <figure aria-labelledby={id} style={{ margin: 0 }} className="chart">
      <VisuallyHidden component="figcaption" id={id}>
        {`${label} ${series.map((one) => summaryOf(one, format)).join(' ')}`}
      </VisuallyHidden>
      {series.length > 1 && <Legend series={series} />}
      <div ref={ref}>
        <div ref={host} aria-hidden="true" style={{ height }} />
      </div>
    </figure>
  );
}

export function Legend({ series }: { readonly series: readonly Pick<Series, 'name' | 'color'>[] }) {
  return (
    <div className="legend">
      {series.map(({ name, color }) => (
        <span key={name}>
          <span className="legend-key" style={{ background: `var(--series-${color})` }} />
          {name}
        </span>
      ))}
    </div>
  );
}

function summaryOf({ name, values }: Series, format: (value: number) => string): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return `${name}: no values.`;
  const last = known[known.length - 1];
  return `${name}: ${known.length} values, ${format(Math.min(...known))} to ${format(Math.max(...known))}, last ${format(last)}.`;
}

function optionsOf(of: {
  readonly series: readonly Series[];
  readonly isTime: boolean;
  readonly xLabel: string | undefined;
  readonly width: number;
  readonly height: number;
  readonly format: (value: number) => string;
}): UPlot.Options {
  const ink = cssColor('--mantine-color-dimmed');
  const grid = { stroke: cssColor('--grid'), width: 1 };
  const font = '12px system-ui, sans-serif';
  const axis = { stroke: ink, grid, ticks: { show: false }, font };
  const bars = UPlot.paths.bars?.({ size: [0.8, 24], radius: 0.2 });
  return {
    width: of.width,
    height: of.height,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    padding: [8, 20, 0, 0],
    scales: {
      x: { time: of.isTime, ...(of.series.some(({ isBars }) => isBars === true) && { range: wholeBars }) },
      y: { range: (_, low, high) => rangeOf(low, high, of.series) },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        labelGap: 0,
        // Steps and versions are whole.
        ...(!of.isTime && { incrs: WHOLE }),
        ...(of.isTime && { values: (_: UPlot, ticks: number[]) => timesOf(ticks) }),
        ...(of.xLabel !== undefined && { label: of.xLabel, labelFont: font, labelSize: 18 }),
      },
      // What is counted is whole.
      {
        ...axis,
        size: 52,
        ...(of.format === compact && { incrs: WHOLE }),
        values: (_, ticks) => ticks.map((tick) => of.format(tick)),
      },
    ],
    series: [
      {},
      ...of.series.map(({ name, color, isBars, hasDots }): UPlot.Series => {
        const stroke = cssColor(`--series-${color}`);
        return {
          label: name,
          stroke,
          // A bar is its area: a line around it would make one of nothing.
          width: isBars === true ? 0 : 2,
          spanGaps: true,
          points: { show: hasDots === true, size: 6, fill: stroke },
          ...(isBars === true && bars && { paths: bars, fill: stroke, points: { show: false } }),
        };
      }),
    ],
  };
}

/** Days where the axis has days, else times of the day. */
function timesOf(ticks: readonly number[]): string[] {
  const isByDay = ticks.length > 1 && ticks[1] - ticks[0] >= 12 * 3600;
  return ticks.map((tick) => (isByDay ? dayOfYear(tick) : timeOfDay(tick)));
}

/** Half a step more on both sides, where half of the first and of the last bar is. */
function wholeBars({ data: [x] }: UPlot, low: number, high: number): [number, number] {
  const half = x.length > 1 ? (x[1] - x[0]) / 2 : 0;
  return [low - half, high + half];
}

/** Bars stand on zero; lines have a little air. */
function rangeOf(low: number, high: number, series: readonly Series[]): [number, number] {
  if (!Number.isFinite(low) || !Number.isFinite(high) || (low === 0 && high === 0)) return [0, 1];
  if (series.some(({ isBars }) => isBars === true)) return [0, high <= 0 ? 1 : high * 1.1];
  const air = (high - low || Math.abs(high) || 1) * 0.08;
  return [low >= 0 ? Math.max(0, low - air) : low - air, high + air];
}

/** A colour of the theme as the canvas needs it. */
function cssColor(variable: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
