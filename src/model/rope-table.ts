import type { ModelConfig } from './config.ts';

/** The angle per position of each of the E/2 pairs, stretched as the config says (Su et al., 2021; Llama 3.1's rule for `llama3`). */
function ropeFrequencies(config: ModelConfig): Float64Array {
  const half = config.headWidth / 2;
  const frequencies = new Float64Array(half);
  for (let i = 0; i < half; i++) frequencies[i] = stretch(config.ropeTheta ** (-i / half), i, config);
  return frequencies;
}

function stretch(frequency: number, pair: number, { ropeScaling: scaling }: ModelConfig): number {
  if (scaling === null) return frequency;
  if (scaling.type === 'linear') return frequency / scaling.factor;
  if (scaling.type === 'factors') return frequency / (scaling.factors[pair] ?? 1);
  const wavelength = (2 * Math.PI) / frequency;
  const { originalContextLength, lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
  if (wavelength < originalContextLength / high) return frequency;
  if (wavelength > originalContextLength / low) return frequency / scaling.factor;
  const smooth = (originalContextLength / wavelength - low) / (high - low);
  return (1 - smooth) * (frequency / scaling.factor) + smooth * frequency;
}

/** [numPositions, E]: E/2 cosines, then E/2 sines of every position, as the rope kernel reads them. */
export function ropeTable(config: ModelConfig, numPositions: number): Float64Array {
  const half = config.headWidth / 2;
  const frequencies = ropeFrequencies(config);
  const table = new Float64Array(numPositions * config.headWidth);
  for (let position = 0; position < numPositions; position++) {
    const row = position * config.headWidth;
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i];
      table[row + i] = Math.cos(angle);
      table[row + half + i] = Math.sin(angle);
    }
  }
  return table;
}
