import assert from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  checkAgainstBase,
  checkBaseName,
  configIdentity,
  defaultLoraConfig,
  encodeSafetensors,
  parsePeftConfig,
  readPeftFolder,
  writePeftFolder,
  type AdapterSite,
  type LoraConfig,
  type NamedTensor,
} from '../../../src/formats/index.ts';
import { assertRefused, temporaryFolder } from './build.ts';

const SITES: readonly AdapterSite[] = [0, 1, 2].flatMap((layer) => [
  { path: `model.layers.${layer}.self_attn.q_proj`, in: 12, out: 12 },
  { path: `model.layers.${layer}.self_attn.v_proj`, in: 12, out: 4 },
]);
const BASE = {
  sites: SITES,
  config: {
    hiddenSize: 12,
    vocabSize: 32,
    numLayers: 3,
    numKeyValueHeads: 1,
    headWidth: 4,
    contextLength: 64,
    tieEmbeddings: false,
  },
};
const Q0 = 'base_model.model.model.layers.0.self_attn.q_proj';
const V1 = 'base_model.model.model.layers.1.self_attn.v_proj';

type Tensors = Map<string, NamedTensor & { data: Float32Array }>;

function loraTensors(sites: readonly AdapterSite[], rank: (path: string) => number = () => 3): Tensors {
  const values = (size: number): Float32Array => Float32Array.from({ length: size }, (_, i) => (i % 7) / 8 - 0.25);
  return new Map(
    sites.flatMap(({ path, in: inputs, out }) => [
      [`base_model.model.${path}.lora_A.weight`, { shape: [rank(path), inputs], data: values(rank(path) * inputs) }],
      [`base_model.model.${path}.lora_B.weight`, { shape: [out, rank(path)], data: values(rank(path) * out) }],
    ]),
  );
}

const config: LoraConfig = { ...defaultLoraConfig(), r: 3, base_model_name_or_path: 'organisation/base' };

/** Writes a folder without the writer's own checks. */
function folderOf(t: TestContext, json: unknown, tensors: ReadonlyMap<string, NamedTensor>): string {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'adapter_config.json'), typeof json === 'string' ? json : JSON.stringify(json));
  writeFileSync(join(folder, 'adapter_model.safetensors'), Buffer.concat(encodeSafetensors(tensors)));
  return folder;
}

const refused = (folder: string, ...texts: string[]) =>
  assertRefused(() => readPeftFolder(folder), 'ADAPTER_INVALID', ...texts);

test('what is written is read again, with its identity', (t) => {
  const folder = join(temporaryFolder(t), 'new', 'adapter');
  const patterned: LoraConfig = {
    ...config,
    target_modules: ['v_proj', 'q_proj'],
    rank_pattern: { 'layers.1.self_attn.v_proj': 2, '.*v_proj': 5 },
    alpha_pattern: { '^model.layers.0.self_attn.q_proj': 32 },
    use_rslora: true,
    lora_dropout: 0.05,
  };
  const rank = (path: string): number => (path.endsWith('q_proj') ? 3 : path.includes('.1.') ? 2 : 5);
  const tensors = loraTensors(SITES, rank);
  const size = writePeftFolder(folder, patterned, tensors);
  const sizes = readdirSync(folder).map((name) => readFileSync(join(folder, name)).length);
  assert.equal(sizes.length, 2);
  assert.equal(sizes[0] + sizes[1], size);
  const back = readPeftFolder(folder);
  assert.deepEqual([...back.tensors.keys()].sort(), [...tensors.keys()].sort());
  for (const [name, { shape, data }] of tensors)
    assert.deepEqual(back.tensors.get(name), { shape, data, storedDtype: 'F32' });
  assert.deepEqual(configIdentity(back.config), configIdentity(patterned));
  assert.ok(back.config.peft_type === 'LORA');
  assert.deepEqual(
    Object.keys(back.config.rank_pattern),
    Object.keys(patterned.rank_pattern),
    'the first key that matches wins',
  );
  checkAgainstBase(back, { directory: folder, targets: SITES, base: BASE });
});

test('the written config has the fields that PEFT writes, sorted', (t) => {
  const golden = new URL('../../golden/peft/lora-attention/adapter_config.json', import.meta.url);
  const fromPeft = JSON.parse(readFileSync(golden, 'utf8')) as Record<string, unknown>;
  const folder = temporaryFolder(t);
  writePeftFolder(
    folder,
    parsePeftConfig(fromPeft, 'adapter_config.json'),
    loraTensors(SITES, () => fromPeft['r'] as number),
  );
  const text = readFileSync(join(folder, 'adapter_config.json'), 'utf8');
  assert.deepEqual(JSON.parse(text), fromPeft);
  assert.deepEqual(Object.keys(JSON.parse(text) as object), Object.keys(fromPeft));
  assert.match(text, /^\{\n {2}"alora_invocation_tokens": null,\n/);
  // As PEFT does it: what is saved is for inference, whoever wrote it.
  assert.equal(defaultLoraConfig().inference_mode, false);
  writePeftFolder(folder, { ...config, peft_version: '0.1' }, loraTensors(SITES));
  const { config: own } = readPeftFolder(folder);
  assert.deepEqual([own.inference_mode, own.peft_version], [true, fromPeft['peft_version']]);
});

test('reads every folder that PEFT itself made', () => {
  const root = new URL('../../golden/peft/', import.meta.url).pathname;
  const folders = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('adapter_config.json'),
  );
  assert.ok(folders.length >= 5, `${folders.length} folders`);
  for (const name of folders) {
    const { tensors } = readPeftFolder(join(root, name, '..'));
    assert.ok(tensors.size > 0, name);
  }
});

test('a config with a wrong field is refused, naming file, field and value', (t) => {
  const sound = { peft_type: 'LORA', r: 3, target_modules: ['q_proj', 'v_proj'] };
  const tensors = loraTensors(SITES);
  const { config: filled } = readPeftFolder(folderOf(t, sound, tensors));
  assert.ok(filled.peft_type === 'LORA');
  assert.equal(filled.lora_alpha, 8, "PEFT's default");
  const bad = (fields: Record<string, unknown>, ...texts: string[]): void => {
    refused(folderOf(t, { ...sound, ...fields }, tensors), 'adapter_config.json', ...texts);
  };
  for (const r of [0, -1, 1.5, '3', 1e9, null, true]) bad({ r }, 'r must be', `got ${JSON.stringify(r)}`);
  bad({ lora_alpha: '16' }, 'lora_alpha', '"16"');
  bad({ lora_dropout: 1 }, 'lora_dropout', '1');
  bad({ bias: 'some' }, 'bias', 'none|all|lora_only', '"some"');
  bad({ target_modules: [] }, 'target_modules', '[]');
  bad({ target_modules: '' }, 'target_modules', '""');
  bad({ target_modules: undefined }, 'target_modules is missing');
  bad({ target_modules: [''] }, 'target_modules');
  bad({ layers_to_transform: [-1] }, 'layers_to_transform');
  bad({ layers_pattern: 'layers' }, 'layers_pattern', 'layers_to_transform');
  bad({ target_modules: '.*q_proj', layers_to_transform: [0] }, 'layers_to_transform', 'target_modules');
  bad({ rank_pattern: { q_proj: 0 } }, 'rank_pattern.q_proj', '0');
  bad({ alpha_pattern: { q_proj: 'x' } }, 'alpha_pattern.q_proj', '"x"');
  bad({ init_lora_weights: 'pissa_niter_4' }, 'init_lora_weights', 'pissa_niter_4', 'not supported yet');
  bad({ init_lora_weights: 'zeros' }, 'init_lora_weights', 'zeros');
  bad({ task_type: 'TOKEN_CLS' }, 'task_type', 'TOKEN_CLS');
  bad({ modules_to_save: ['score'] }, 'modules_to_save', 'score', 'does not have');
  bad({ task_type: 'SEQ_CLS', modules_to_save: ['lm_head'] }, 'modules_to_save', 'lm_head', 'SEQ_CLS');
  bad({ task_type: 'SEQ_CLS' }, 'score', 'is missing');
  bad({ lora_bias: true, use_dora: true }, 'lora_bias', 'use_dora');
  bad({ lora_bias: true, init_lora_weights: 'gaussian' }, 'lora_bias', 'init_lora_weights', 'gaussian');
  bad({ trainable_token_indices: [1, 1] }, 'trainable_token_indices', 'different');
  bad({ trainable_token_indices: { lm_head: [1] } }, 'trainable_token_indices', 'embed_tokens only');
  bad({ lora_alfa: 16 }, 'lora_alfa', 'not a field');
  bad({ peft_type: 'LOLA' }, 'peft_type', 'LOLA', 'unknown');
  bad({ peft_type: 'XLORA' }, 'peft_type', 'XLORA', 'not supported yet');
  bad({ peft_type: undefined }, 'peft_type is missing');
  bad({ peft_type: '__proto__' }, 'peft_type', '__proto__');
  const error = refused(folderOf(t, { ...sound, r: 0, lora_alpha: 'x' }, tensors), 'r must', 'lora_alpha must');
  assert.equal(error.problems.length, 2, 'all problems at once');
  refused(
    folderOf(t, '{"peft_type": "LORA", "r": 3, "lora_alpha": 1e999, "target_modules": ["q_proj"]}', tensors),
    'lora_alpha',
    'Infinity',
  );
});

test('what changes the maths and is not supported is refused by name, at its default it passes', (t) => {
  const sound = { peft_type: 'LORA', r: 3, target_modules: ['q_proj', 'v_proj'] };
  const tensors = loraTensors(SITES);
  const fields: Record<string, [off: unknown, on: unknown]> = {
    fan_in_fan_out: [false, true],
    use_qalora: [false, true],
    use_bdlora: [null, {}],
    modules_to_save: [null, ['q_proj']],
    layer_replication: [null, [[0, 2]]],
    alora_invocation_tokens: [null, [1, 2]],
    arrow_config: [null, {}],
    corda_config: [null, {}],
    kasa_config: [null, {}],
    lora_ga_config: [null, {}],
    velora_config: [null, {}],
    monteclora_config: [null, {}],
    megatron_config: [null, {}],
    loftq_config: [{}, { loftq_bits: 4 }],
  };
  for (const [field, [off, on]] of Object.entries(fields)) {
    readPeftFolder(folderOf(t, { ...sound, [field]: off }, tensors));
    refused(folderOf(t, { ...sound, [field]: on }, tensors), field, 'not supported yet');
  }
});

test('the base is a name, never a place', (t) => {
  for (const name of [
    '../base',
    '/srv/base',
    'a/../../b',
    'http://127.0.0.1/base',
    'C:\\base',
    '\\\\host\\base',
    '~/base',
    'file:base',
  ]) {
    refused(
      folderOf(t, { ...config, base_model_name_or_path: name }, loraTensors(SITES)),
      'base_model_name_or_path',
      JSON.stringify(name),
    );
  }
  assert.equal(checkBaseName(config, 'organisation/base'), undefined);
  const warning = checkBaseName(config, 'other/base') ?? '';
  assert.ok(warning.includes('organisation/base') && warning.includes('other/base'), warning);
});

test('files that are missing, cut, or of another kind are named', (t) => {
  const sound = folderOf(t, config, loraTensors(SITES));
  const changed = (change: (folder: string) => void): string => {
    const folder = temporaryFolder(t);
    cpSync(sound, folder, { recursive: true });
    change(folder);
    return folder;
  };
  refused(
    changed((folder) => rmSync(join(folder, 'adapter_config.json'))),
    'adapter_config.json',
  );
  refused(
    changed((folder) => rmSync(join(folder, 'adapter_model.safetensors'))),
    'adapter_model.safetensors',
  );
  refused(
    changed((folder) => truncateSync(join(folder, 'adapter_model.safetensors'), 700)),
    'adapter_model.safetensors',
  );
  refused(
    changed((folder) => truncateSync(join(folder, 'adapter_config.json'), 70)),
    'adapter_config.json',
    'JSON',
  );
  refused(
    changed((folder) => writeFileSync(join(folder, 'adapter_config.json'), '[]')),
    'adapter_config.json',
    'object',
  );
  refused(
    changed((folder) => writeFileSync(join(folder, 'adapter_config.json'), '['.repeat(100_000))),
    'adapter_config.json',
    'deeper',
  );
  refused(
    changed((folder) => writeFileSync(join(folder, 'adapter_config.json'), ' '.repeat(5 * 2 ** 20))),
    'adapter_config.json',
    'bytes',
  );
  const pickle = changed((folder) => {
    rmSync(join(folder, 'adapter_model.safetensors'));
    // A folder of that name: whoever opened it would fail in another way.
    mkdirSync(join(folder, 'adapter_model.bin'));
  });
  refused(pickle, 'adapter_model.bin', 'pickle', 'safetensors');
  refused(join(sound, 'none'), 'none');
});

test('links that lead out of the folder are not followed, those of the Hugging Face cache are', (t) => {
  const root = temporaryFolder(t);
  const sound = folderOf(t, config, loraTensors(SITES));
  const snapshot = join(root, 'snapshots', 'abc');
  const outside = join(root, 'elsewhere');
  for (const folder of [snapshot, outside, join(root, 'blobs')]) mkdirSync(folder, { recursive: true });
  for (const name of ['adapter_config.json', 'adapter_model.safetensors']) {
    cpSync(join(sound, name), join(root, 'blobs', name));
    symlinkSync(join('..', '..', 'blobs', name), join(snapshot, name));
    symlinkSync(join('..', 'blobs', name), join(outside, name));
  }
  assert.ok(readPeftFolder(snapshot).tensors.size > 0);
  refused(outside, 'adapter_config.json', 'outside');
});

test('tensors that do not belong together are named, with their shapes', (t) => {
  const changed = (change: (tensors: Tensors) => void, fields: Partial<LoraConfig> = {}): string => {
    const tensors = loraTensors(SITES);
    change(tensors);
    return folderOf(t, { ...config, ...fields }, tensors);
  };
  refused(
    changed((tensors) => tensors.delete(`${Q0}.lora_B.weight`)),
    `${Q0}.lora_B.weight`,
    'missing',
  );
  refused(
    changed((tensors) => tensors.delete(`${V1}.lora_A.weight`)),
    `${V1}.lora_A.weight`,
    'missing',
  );
  refused(
    changed(() => {}, { r: 8 }),
    Q0,
    '[3, 12]',
    'rank 3',
    '8',
  );
  refused(
    changed(() => {}, { rank_pattern: { v_proj: 2 } }),
    V1,
    'rank 3',
    '2',
  );
  refused(
    changed((tensors) => {
      for (const [name, { shape, data }] of tensors) tensors.set(name, { shape: shape.toReversed(), data });
    }),
    'transposed',
    '[12, 3]',
  );
  refused(
    changed((tensors) => tensors.set(`${V1}.lora_B.weight`, { shape: [3, 4], data: new Float32Array(12) })),
    V1,
    'do not fit',
    '[3, 4]',
  );
  refused(
    changed((tensors) => tensors.set(`${V1}.lora_B.weight`, { shape: [12], data: new Float32Array(12) })),
    V1,
    'two dimensions',
  );
  refused(
    changed((tensors) => tensors.set('base_model.model.odd.weight', { shape: [1], data: new Float32Array(1) })),
    'base_model.model.odd.weight',
  );
  refused(
    changed((tensors) => tensors.set(`${Q0}.lora_magnitude_vector`, { shape: [12], data: new Float32Array(12) })),
    'DoRA',
  );
  refused(
    changed((tensors) => tensors.clear()),
    'no tensors',
  );
  for (const [name, value] of [
    ['lora_A', NaN],
    ['lora_B', Infinity],
    ['lora_B', -Infinity],
  ] as const) {
    const folder = changed((tensors) => {
      const data = tensors.get(`${V1}.${name}.weight`)?.data;
      assert.ok(data);
      data[4] = value;
    });
    refused(folder, `${V1}.${name}.weight`, String(value));
  }
  const bf16 = loraTensors(SITES);
  bf16.set(`${Q0}.lora_A.weight`, { shape: [3, 12], data: new Float32Array(36).fill(-Infinity), dtype: 'BF16' });
  refused(folderOf(t, config, bf16), `${Q0}.lora_A.weight`, '-Infinity');
  const whole = new Map<string, NamedTensor>(loraTensors(SITES));
  whole.set(`${Q0}.lora_A.weight`, { shape: [3, 12], data: new Uint8Array(36), dtype: 'U8' });
  refused(folderOf(t, config, whole), `${Q0}.lora_A.weight`, 'U8');
});

test('tensors are held against the sites of the base', (t) => {
  const check = (tensors: Tensors, targets: readonly AdapterSite[], ...texts: string[]): void => {
    const folder = readPeftFolder(folderOf(t, config, tensors));
    assertRefused(
      () => checkAgainstBase(folder, { directory: 'folder', targets, base: BASE }),
      'ADAPTER_INVALID',
      ...texts,
    );
  };
  check(loraTensors(SITES.slice(0, 4)), SITES, 'layers.2.self_attn.q_proj.lora_A.weight is missing');
  check(loraTensors(SITES), SITES.slice(0, 4), 'layers.2', 'does not target');
  check(
    loraTensors([...SITES, { path: 'model.layers.999.self_attn.q_proj', in: 12, out: 12 }]),
    SITES,
    '999',
    'does not have',
  );
  check(loraTensors(SITES.map((site) => ({ ...site, in: 16 }))), SITES, '[3, 16]', '[3, 12]', '12 inputs');
  check(loraTensors(SITES.map((site) => ({ ...site, out: 5 }))), SITES, '[5, 3]', '[4, 3]', '4 outputs');
});

test('an adapter that could not be read again is not written', (t) => {
  const folder = join(temporaryFolder(t), 'adapter');
  const tensors = loraTensors(SITES);
  const write = (fields: Partial<LoraConfig> = {}) => writePeftFolder(folder, { ...config, ...fields }, tensors);
  assertRefused(() => write({ r: 4 }), 'ADAPTER_INVALID', 'rank 3');
  (tensors.get(`${Q0}.lora_A.weight`) as { data: Float32Array }).data[0] = NaN;
  assertRefused(() => write(), 'ADAPTER_INVALID', `${Q0}.lora_A.weight`, 'finite');
  assert.throws(() => readdirSync(folder), /ENOENT/);
});
