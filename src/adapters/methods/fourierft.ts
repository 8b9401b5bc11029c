import { fourierPositions, frequencyCounts, tensorName, type FourierftConfig } from '../../formats/index.ts';
import type { LinearSite } from '../../model/index.ts';
import { addDenseDelta, inverseFourier, type Frequencies, type Kernels, type Tensor } from '../../numeric/index.ts';
import { assembleAdapter } from '../compiled.ts';
import { addProduct, computed, zerosLike } from '../dense.ts';
import { tensorAt, type TrainableMethod } from '../method.ts';
import type { RowPrimitive } from '../primitives.ts';
import { denseDelta } from '../rows/kronecker-delta.ts';
import { resolveTargets } from '../targets.ts';

const SPECTRUM = 'fourierft_spectrum';

/**
 * FourierFT (Gao et al., 2024): ΔW is `scaling` times the real part of the inverse Fourier transform of a matrix that is zero but for n trained
 * numbers. Where these stand is drawn from a seed of the config, and not saved.
 */
export const fourierft: TrainableMethod<FourierftConfig> = {
  name: 'fourierft',
  peftType: 'FOURIERFT',
  sharesProduct: true,

  parameters(config, sites) {
    const countOf = frequencyCounts(config);
    return resolveTargets(config, sites).map((site) => ({
      name: tensorName(site.path, SPECTRUM),
      shape: [countOf(site)],
    }));
  },

  /** N(0, 1) as in the paper, or zeros with init_weights: then a new adapter changes nothing. */
  initialise({ init_weights }, _parameter, values, rng) {
    for (let i = 0; i < values.length; i++) values[i] = init_weights ? 0 : rng.nextNormal();
  },

  bind(config, base, tensors) {
    const places = new Map(
      resolveTargets(config, base.sites).map((site) => [site.path, frequenciesOf(config, site)] as const),
    );
    return {
      linear(g, site, x, layer) {
        const y = layer(x);
        const at = places.get(site.path);
        if (at) addDenseDelta(g, y, x, inverseFourier(g, tensorAt(tensors, site, SPECTRUM), at, config.scaling), 1);
        return y;
      },
    };
  },

  compile(config, base, tensors) {
    const { kernels } = base;
    const sites = new Map<string, readonly RowPrimitive[]>();
    for (const site of resolveTargets(config, base.sites)) {
      const at = frequenciesOf(config, site);
      const spectrum = tensorAt(tensors, site, SPECTRUM);
      const rank = 2 * spectrum.data.length;
      // Few frequencies cost less as waves over inputs and outputs than as a matrix.
      if (rank * (site.in + site.out) < site.in * site.out) {
        const [b_OR, a_RI] = waves(spectrum, at);
        sites.set(site.path, [{ kind: 'low-rank-delta', a_RI, b_OR, scale: scaleOf(config, site) }]);
      } else {
        const delta = computed(kernels, (g) => inverseFourier(g, spectrum, at, config.scaling));
        sites.set(site.path, [denseDelta(delta, 1)]);
      }
    }
    return assembleAdapter({ sites });
  },

  merge(config, { site, weight_OI, kernels }, tensors) {
    addWaves(kernels, weight_OI, tensorAt(tensors, site, SPECTRUM), frequenciesOf(config, site), scaleOf(config, site));
  },
};

const scaleOf = ({ scaling }: FourierftConfig, site: LinearSite): number => scaling / (site.out * site.in);

/** @throws ADAPTER_INVALID for more frequencies than the layer has numbers */
function frequenciesOf(config: FourierftConfig, site: LinearSite): Frequencies {
  const positions = fourierPositions(config, site);
  return {
    rows: positions.map((position) => Math.floor(position / site.in)),
    columns: positions.map((position) => position % site.in),
    O: site.out,
    I: site.in,
  };
}

/** ΔW += scale · Σ_n c_n·cos(2π(p_n·o/O + q_n·i/I)), as a product. */
function addWaves(kernels: Kernels, weight_OI: Tensor['data'], spectrum: Tensor, at: Frequencies, scale: number): void {
  const [b_OR, a_RI] = waves(spectrum, at);
  addProduct(kernels, weight_OI, b_OR, a_RI, scale);
}

/** cos(x + y) = cos x · cos y − sin x · sin y: a frequency is a product of the rank 2. */
function waves(spectrum: Tensor, { rows, columns, O, I }: Frequencies): readonly [b_OR: Tensor, a_RI: Tensor] {
  const N = rows.length;
  const R = 2 * N;
  const [b, a] = [zerosLike(spectrum.data, O * R), zerosLike(spectrum.data, R * I)];
  for (let n = 0; n < N; n++) {
    for (let o = 0; o < O; o++) {
      const angle = (2 * Math.PI * ((rows[n] * o) % O)) / O;
      b[o * R + n] = Math.cos(angle);
      b[o * R + N + n] = Math.sin(angle);
    }
    for (let i = 0; i < I; i++) {
      const angle = (2 * Math.PI * ((columns[n] * i) % I)) / I;
      a[n * I + i] = spectrum.data[n] * Math.cos(angle);
      a[(N + n) * I + i] = -spectrum.data[n] * Math.sin(angle);
    }
  }
  return [
    { shape: [O, R], data: b },
    { shape: [R, I], data: a },
  ];
}
