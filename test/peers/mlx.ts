/**
 * Does mlx-lm answer with an exported adapter as we do? `npm run peers:mlx` exports adapters of a tiny base by the command line, lets mlx-lm (on the
 * CPU, in float32) load base and adapter, and compares the logits with ours. Exit code 1 when they differ.
 */
import { compileAdapter, readArtefact, spanHooks, writeArtefact } from '../../src/adapters/index.ts';
import type { LoraConfig } from '../../src/formats/index.ts';
import { loadBase } from '../../src/model/index.ts';
import { compareToReference, loadNativeKernels } from '../../src/numeric/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { runJson, TemporaryFolder } from '../support/processes.ts';
import { randomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';
import { mlxPython, peerJson } from './python.ts';

const CASES: Readonly<Record<string, Partial<LoraConfig>>> = {
  'attention, rank 4': { target_modules: ['q_proj', 'v_proj'] },
  'all linear layers': { target_modules: 'all-linear' },
  'all linear layers, rank-stabilised': { target_modules: 'all-linear', use_rslora: true },
  'the last block, alpha by pattern': {
    target_modules: ['q_proj', 'down_proj'],
    layers_to_transform: [1],
    alpha_pattern: { q_proj: 3 },
  },
};
const SEQUENCES = [
  [1, 5, 9, 2, 7],
  [3, 3, 8],
];

using folder = new TemporaryFolder();
const home = folder.join('home');
const python = mlxPython();
writeTinyBase(folder.join('tiny'));
await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
await runJson(['tenants', 'create', 'acme'], { home });
const base = loadBase(folder.join('tiny'), 'tiny', loadNativeKernels(), 'f32');

async function theirs(adapter: string): Promise<Float64Array> {
  const logits = await peerJson<number[][][]>(python, 'test/peers/mlx_logits.py', [
    folder.join('tiny'),
    adapter,
    JSON.stringify(SEQUENCES),
  ]);
  return Float64Array.from(logits.flat(2));
}

function flat(logits: readonly ArrayLike<number>[]): Float64Array {
  return Float64Array.from(logits.flatMap((row) => Array.from(row)));
}

const plain = await theirs('-');
const rows = [
  { name: 'the base', ...compareToReference(flat(forwardLogits(base, SEQUENCES)), plain, 'goldenF32'), effect: 0 },
];
for (const [index, [name, settings]] of Object.entries(CASES).entries()) {
  const { target_modules: targets, ...more } = settings;
  const last = more.layers_to_transform;
  const sites = tinySites().filter(({ layer }) => last === undefined || layer === 1);
  const random = randomAdapter(sites, { seed: index, rank: 4, targets: targets as 'all-linear' | string[] });
  const adapter = { ...random, config: { ...(random.config as LoraConfig), ...more } };
  writeArtefact(folder.join(`peft-${index}`), adapter, base.digest);
  await runJson(['adapters', 'publish', folder.join(`peft-${index}`), `acme/case-${index}`, '--base', 'tiny'], {
    home,
  });
  const exported = folder.join(`mlx-${index}`);
  await runJson(['adapters', 'export', `acme/case-${index}`, exported, '--format', 'mlx'], { home });
  const compiled = compileAdapter(readArtefact(folder.join(`peft-${index}`), base), base);
  const span = { begin: 0, end: SEQUENCES.flat().length, adapter: compiled };
  const ours = flat(forwardLogits(base, SEQUENCES, spanHooks([span])));
  const expected = await theirs(exported);
  // An adapter that mlx-lm had not applied would give the base's logits.
  rows.push({
    name,
    ...compareToReference(ours, expected, 'goldenF32'),
    effect: compareToReference(expected, plain, 1).error,
  });
}
for (const { name, passes, error, effect, message } of rows) {
  console.log(
    `${passes ? 'same' : 'DIFFERS'}  ${name}: ${error.toExponential(1)} of norm; changes the base by ${effect.toExponential(1)} ${message}`,
  );
}
process.exitCode = rows.every(({ passes, name, effect }) => passes && (name === 'the base' || effect > 1e-2)) ? 0 : 1;
