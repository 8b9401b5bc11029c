/**
 * How fast are the products with frozen weights against torch (oneDNN)? GFLOP/s of x · Wᵀ and dy · W for the shapes of SmolLM2-135M, and
 * of a whole layer's products together. In bf16, torch's activations are bf16; ours are so too where
 * the processor multiplies bf16, else they stay f32.
 *
 *   node bench/matmul-peer.ts [--rounds=3] [--threads=N] [--quick] [--json]
 */
import { join } from 'node:path';
import { jsonOf } from '../test/peers/json-child.ts';
import {
  alternate,
  pairings,
  readSettings,
  report,
  runPeer,
  type Comparison,
  type Figure,
  type Pairing,
  type PeerReport,
} from './compare.ts';

/** One product: the time of one call. */
interface Product {
  readonly direction: 'x·Wᵀ' | 'dy·W';
  readonly out: number;
  readonly in: number;
  readonly rows: number;
  readonly seconds: number;
}

interface OurReport {
  readonly measurements: readonly {
    readonly out: number;
    readonly in: number;
    readonly direction: 'forward' | 'backward';
    readonly T: number;
    readonly medianMs: number;
  }[];
}

interface TorchReport extends PeerReport {
  readonly cases: readonly {
    readonly product: Product['direction'];
    readonly outputs: number;
    readonly inputs: number;
    readonly rows: number;
    readonly seconds: number;
  }[];
}

/** [out, in] and how often a layer has it; the head is in no layer. */
const SHAPES = [
  { name: 'q, o', out: 576, in: 576, perLayer: 2 },
  { name: 'k, v', out: 192, in: 576, perLayer: 2 },
  { name: 'gate, up', out: 1536, in: 576, perLayer: 2 },
  { name: 'down', out: 576, in: 1536, perLayer: 1 },
  { name: 'head', out: 49152, in: 576, perLayer: 0 },
] as const;

const settings = await readSettings();
const { isQuick, threads, rounds } = settings;
const rows = isQuick ? [64] : [512, 1024, 2048];
const comparisons: Comparison[] = [];
let lastPeer: TorchReport | undefined;

for (const pairing of pairings(settings)) {
  const ours = async () => figuresOf(await measureOurs(pairing), pairing);
  const peer = async () => figuresOf(await measurePeer(pairing), pairing);
  comparisons.push(...(await alternate('GFLOP/s', pairing.isSlow ? 1 : rounds, ours, peer)));
}
if (!lastPeer) throw new Error('the peer did not run');
report('Products with frozen weights', comparisons, settings, lastPeer);

async function measureOurs(pairing: Pairing): Promise<Product[]> {
  const args = ['--json', `--threads=${threads}`, `--formats=${pairing.ours}`, `--rows=${rows.join(',')}`];
  const { measurements } = await jsonOf<OurReport>(process.execPath, [join(import.meta.dirname, 'matmul.ts'), ...args]);
  return measurements.map((one) => ({
    direction: one.direction === 'forward' ? 'x·Wᵀ' : 'dy·W',
    out: one.out,
    in: one.in,
    rows: one.T,
    seconds: one.medianMs / 1000,
  }));
}

async function measurePeer({ peer: format, isSlow }: Pairing): Promise<Product[]> {
  // The head alone would take minutes.
  const shapes = SHAPES.filter(({ name }) => !isSlow || name !== 'head');
  const job = {
    shapes: shapes.map(({ name, out, in: inputs }) => ({ name, outputs: out, inputs })),
    rows,
    dtypes: [format],
    threads,
    repeats: isQuick ? 1 : 9,
    secondsPerCase: isQuick || isSlow ? 0.5 : 3,
  };
  lastPeer = await runPeer<TorchReport>('bench/peers/torch_matmul.py', [JSON.stringify(job)], settings);
  return lastPeer.cases.map((one) => ({
    direction: one.product,
    out: one.outputs,
    in: one.inputs,
    rows: one.rows,
    seconds: one.seconds,
  }));
}

/** Each product by itself, and all products of a layer in the time that they take together. */
function figuresOf(products: readonly Product[], { label: formats }: Pairing): Map<string, Figure> {
  const figures = new Map<string, Figure>();
  for (const direction of ['x·Wᵀ', 'dy·W'] as const) {
    for (const T of rows) {
      let [layerFlops, layerSeconds] = [0, 0];
      for (const { name, out, in: inputs, perLayer } of SHAPES) {
        const same = (one: Product): boolean =>
          one.direction === direction && one.rows === T && one.out === out && one.in === inputs;
        const product = products.find(same);
        if (!product) continue;
        const flops = 2 * T * out * inputs;
        layerFlops += perLayer * flops;
        layerSeconds += perLayer * product.seconds;
        const label = `${direction} ${name} [${out}, ${inputs}], ${T} rows, ${formats}`;
        figures.set(label, { rate: flops / product.seconds / 1e9 });
      }
      figures.set(`${direction} a layer, ${T} rows, ${formats}`, { rate: layerFlops / layerSeconds / 1e9 });
    }
  }
  return figures;
}
