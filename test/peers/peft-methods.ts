/**
 * Does Espalier serve what Hugging Face PEFT saved? `npm run peers:methods` lets PEFT make an adapter of each method on a real base
 * (SmolLM2-135M, fetched by the hub), and serves all of them and the base in one batch: the logits must be PEFT's. Exit code 1 when a
 * figure is outside its tolerance. Beside each verdict: the adapter's size here, and the milliseconds to read, compile and prove it.
 *
 * bf16 and int8 show how far the rounding of the base's weights carries; many adapters change less than that, which is a failure here.
 *
 *   node test/peers/peft-methods.ts [--threads=N] [--format=f32[,bf16][,int8]]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  BASE_ADAPTER,
  compileAdapter,
  probeAdapter,
  proveAdapter,
  readArtefact,
  type CompiledAdapter,
} from '../../src/adapters/index.ts';
import { readConfig, resolveBase } from '../../src/app/index.ts';
import { systemClock } from '../../src/base/index.ts';
import { openSafetensors } from '../../src/formats/index.ts';
import { loadBase, type BaseModel } from '../../src/model/index.ts';
import { compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels, WEIGHT_FORMATS, type WeightFormat } from '../../src/numeric/index.ts';
import { DEFAULT_ENGINE, Engine } from '../../src/serving/engine.ts';
import { GREEDY } from '../../src/serving/request.ts';
import { readChats } from './chats.ts';
import { peerJson, peerPython } from './python.ts';
import { Verdicts } from './verdicts.ts';

const BASE = 'smollm2-135m-instruct';
/** ‖ours − PEFT's‖ / ‖PEFT's‖ of the logits after a sequence; PEFT computes in float32. */
const TOLERANCES: Readonly<Record<WeightFormat, number>> = {
  /** Two forward passes that round in different orders. */
  f32: 1e-4,
  /** The base's weights are rounded to 8 bits of significand, which 30 layers carry to the logits; the adapter's are not. */
  bf16: 3e-2,
  /** One scale for a row of weights: the base itself is that far from its float32 form. */
  int8: 2e-1,
  /** Sixteen values in a block of 64: the base itself is that far. */
  nf4: 5e-1,
};
/** Longer ones only take longer. */
const MAX_TOKENS = 48;

interface Made {
  readonly methods: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
}

const { values: options } = parseArgs({
  options: { threads: { type: 'string' }, format: { type: 'string', default: 'f32' } },
});
const config = readConfig();
const threads = options.threads === undefined ? (config.threads ?? availableParallelism()) : Number(options.threads);
const found = await resolveBase(config, BASE, () => {});
const { sequences: chats } = await readChats(found.open.path, 1);
const sequences = chats.map((ids) => ids.slice(0, MAX_TOKENS));
const scratch = mkdtempSync(join(tmpdir(), 'espalier-peers-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
writeFileSync(join(scratch, 'sequences.json'), JSON.stringify(sequences));
console.error('PEFT makes its adapters …');
const made = await peerJson<Made>(peerPython(), 'test/peers/peft_methods.py', [
  found.open.path,
  join(scratch, 'sequences.json'),
  scratch,
  '--threads',
  String(threads),
]);
const kernels = loadNativeKernels({ threads });
const verdicts = new Verdicts();
console.log(
  `Espalier (${kernels.name}, ${threads} threads) and PEFT ${made.versions['peft']}, ${sequences.length} sequences`,
);
for (const format of WEIGHT_FORMATS.filter((one) => options.format.split(',').includes(one))) compareIn(format);
console.log(verdicts.summary());
process.exitCode = verdicts.passed ? 0 : 1;

function compareIn(format: WeightFormat): void {
  const base = loadBase(found.open.path, found.name, kernels, format);
  verdicts.heading(`${format}: logits after each sequence, all methods and the base in one batch`);
  const adapters = new Map<string, CompiledAdapter>([['base', BASE_ADAPTER]]);
  const costs = new Map<string, string>();
  for (const name of made.methods) {
    const times = [systemClock.nowMs()];
    const adapter = readArtefact(join(scratch, name), base);
    times.push(systemClock.nowMs());
    const compiled = compileAdapter(adapter, base);
    times.push(systemClock.nowMs());
    proveAdapter(base, compiled);
    times.push(systemClock.nowMs());
    const { parity } = probeAdapter(base, adapter);
    const [read, compile, prove] = times.slice(1).map((end, i) => (end - times[i]).toFixed(0));
    const probe = parity ? `, probe ${parity.error.toExponential(1)}` : '';
    costs.set(name, `${(compiled.sizeBytes / 1e6).toFixed(2)} MB, ${read} + ${compile} + ${prove} ms${probe}`);
    adapters.set(name, compiled);
  }
  const logits = serve(base, adapters);
  for (const name of adapters.keys()) {
    using expected = openSafetensors(join(scratch, `${name}.safetensors`));
    using unchanged = openSafetensors(join(scratch, 'base.safetensors'));
    let [worst, least] = [0, Infinity];
    for (const index of sequences.keys()) {
      const theirs = expected.readFloats(String(index));
      const { error } = compareToReference(logits.get(`${name} ${index}`) ?? [], theirs, 0);
      worst = Number.isNaN(error) ? NaN : Math.max(worst, error);
      least = Math.min(least, compareToReference(unchanged.readFloats(String(index)), theirs, 0).error);
    }
    // An adapter that changes less than the tolerance would prove nothing.
    const isTelling = name === 'base' || least > TOLERANCES[format];
    const change = name === 'base' ? '' : ` (changes ${least.toFixed(2)}; ${costs.get(name)})`;
    verdicts.add(`${name}${change}`, isTelling ? worst : NaN, TOLERANCES[format]);
  }
}

/** The logits after each sequence on each adapter, all requests submitted at once. */
function serve(base: BaseModel, adapters: ReadonlyMap<string, CompiledAdapter>): Map<string, Float32Array> {
  const logits = new Map<string, Float32Array>();
  const engine = new Engine(base, DEFAULT_ENGINE, {
    choose({ request }, logits_V) {
      logits.set(request.id, Float32Array.from(logits_V));
      return { id: 0, logprob: undefined };
    },
  });
  for (const [index, ids] of sequences.entries()) {
    for (const [name, adapter] of adapters) {
      const request = {
        id: `${name} ${index}`,
        adapter: adapter === BASE_ADAPTER ? null : name,
        promptTokenIds: Int32Array.from(ids),
        maxTokens: 1,
        stopTokenIds: [],
        sampling: GREEDY,
      };
      engine.submit(request, adapter);
    }
  }
  while (engine.hasWork) engine.step();
  return logits;
}
