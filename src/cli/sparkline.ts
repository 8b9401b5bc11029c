const LEVELS = '▁▂▃▄▅▆▇█';

/** The last values as a line of blocks, the lowest at the bottom: means of neighbours where there are more than `width`. */
export function sparkline(values: readonly number[], width = 16): string {
  const size = Math.max(1, Math.ceil(values.length / width));
  const means: number[] = [];
  for (let i = 0; i < values.length; i += size) {
    const group = values.slice(i, i + size);
    means.push(group.reduce((sum, value) => sum + value, 0) / group.length);
  }
  const low = Math.min(...means);
  const range = Math.max(...means) - low;
  return means
    .map((value) => LEVELS[range === 0 ? 0 : Math.round(((value - low) / range) * (LEVELS.length - 1))])
    .join('');
}
