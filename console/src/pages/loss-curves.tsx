import { useMemo } from 'react';
import type { JobEvent } from '../api/types.ts';
import { TimeChart, type Series } from '../charts/time-chart.tsx';
import { score } from '../parts/format.ts';

/** Training and held-out loss by step. @param events those with figures */
export function LossCurves({ events }: { readonly events: readonly JobEvent[] }) {
  const { x, series } = useMemo(() => {
    const points = events.flatMap(({ data }) => data ?? []);
    const valid = points.map((point) => point.valid_loss ?? null);
    const curves: Series[] = [
      { name: 'Training loss', color: 1, values: points.map((point) => point.train_loss), hasDots: points.length < 3 },
      ...(valid.some((value) => value !== null)
        ? [{ name: 'Held-out loss', color: 3 as const, values: valid, hasDots: true }]
        : []),
    ];
    return { x: points.map(({ step }) => step), series: curves };
  }, [events]);
  return <TimeChart label="Loss by step." x={x} xLabel="step" series={series} height={260} format={score} />;
}
