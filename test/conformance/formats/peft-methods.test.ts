/** Folders of every PEFT method, as PEFT saved them and then broken in one place: each is refused, and the place is named. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { readArtefact, type ArtefactBase } from '../../../src/adapters/index.ts';
import { EspalierError } from '../../../src/base/index.ts';
import {
  configIdentity,
  encodeSafetensors,
  parsePeftConfig,
  peftConfigText,
  readPeftFolder,
  writePeftFolder,
  type NamedTensor,
} from '../../../src/formats/index.ts';
import { linearSites, parseModelConfig } from '../../../src/model/index.ts';
import { GOLDEN, readGolden } from '../goldens.ts';
import { assertRefused, temporaryFolder } from './build.ts';

type Json = Record<string, unknown>;

function baseOf(name: string): ArtefactBase {
  const config = parseModelConfig(readGolden('models', name, 'config.json'), 'config.json');
  return { config, sites: linearSites(config) };
}

const BASES = new Map(['tiny-llama', 'tiny-qwen2'].map((name) => [name, baseOf(name)]));
const ROOT = join(GOLDEN, 'peft', 'methods');
const CASES = readdirSync(ROOT);

function baseOfCase(name: string): ArtefactBase {
  const base = BASES.get(readGolden<{ base: string }>('peft', 'methods', name, 'golden.json').base);
  assert.ok(base);
  return base;
}

function configOf(name: string): Json {
  return JSON.parse(readFileSync(join(ROOT, name, 'adapter_config.json'), 'utf8')) as Json;
}

/** A folder of a case with other fields or tensors. */
function folderOf(
  t: TestContext,
  name: string,
  { fields = {}, change }: { fields?: Json; change?: (tensors: Map<string, NamedTensor>) => void } = {},
): string {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ ...configOf(name), ...fields }));
  const tensors = new Map<string, NamedTensor>(
    [...readPeftFolder(join(ROOT, name)).tensors].map(([key, { shape, data }]) => [key, { shape, data }]),
  );
  change?.(tensors);
  writeFileSync(join(folder, 'adapter_model.safetensors'), Buffer.concat(encodeSafetensors(tensors)));
  return folder;
}

const refused = (name: string, folder: string, ...texts: string[]): EspalierError =>
  assertRefused(() => readArtefact(folder, baseOfCase(name)), 'ADAPTER_INVALID', ...texts);

for (const name of CASES) {
  describe(name, () => {
    const { tensors, config } = readPeftFolder(join(ROOT, name));

    test('the config is written as PEFT writes it, and its identity survives', (t) => {
      const fromPeft = configOf(name);
      assert.deepEqual(JSON.parse(peftConfigText(config)), fromPeft);
      const folder = join(temporaryFolder(t), 'again');
      writePeftFolder(folder, config, tensors);
      const again = readArtefact(folder, baseOfCase(name));
      assert.deepEqual(configIdentity(again.config), configIdentity(config));
      for (const [key, { data }] of tensors) assert.deepEqual(again.tensors.get(key)?.data, data, key);
    });

    test('a field that is unknown is refused by name', (t) => {
      refused(name, folderOf(t, name, { fields: { surprise: 1 } }), 'adapter_config.json', 'surprise is not a field');
    });

    test('every tensor must be there, with its shape, finite', (t) => {
      for (const [key, { shape, data }] of tensors) {
        // The head's copy of trained tokens may be missing: it says nothing of its own.
        if (!key.includes('lm_head'))
          refused(name, folderOf(t, name, { change: (all) => all.delete(key) }), tensors.size > 1 ? key : 'no tensors');
        const wider = [...shape];
        wider[0] = (wider[0] ?? 0) + 1;
        const size = wider.reduce((product, length) => product * length, 1);
        const grown = { shape: wider, data: new Float32Array(size).fill(0.5) };
        refused(name, folderOf(t, name, { change: (all) => all.set(key, grown) }), key, `[${wider.join(', ')}]`);
        // All of a module's ranks may be cut off.
        if (data.length === 0) continue;
        const broken = { shape, data: Float32Array.from(data, (value, i) => (i === data.length - 1 ? NaN : value)) };
        refused(name, folderOf(t, name, { change: (all) => all.set(key, broken) }), key, 'NaN');
      }
    });

    test('a tensor too many is refused by name, and so is a file without any', (t) => {
      const surprise = { shape: [1], data: Float32Array.of(1) };
      for (const extra of ['surprise', 'base_model.model.lm_head.weight']) {
        refused(name, folderOf(t, name, { change: (all) => all.set(extra, surprise) }), extra);
      }
      refused(name, folderOf(t, name, { change: (all) => all.clear() }), 'no tensors');
    });

    test('a pickle is not opened', (t) => {
      const folder = temporaryFolder(t);
      cpSync(join(ROOT, name), folder, { recursive: true });
      rmSync(join(folder, 'adapter_model.safetensors'));
      // A folder of that name: whoever opened it would fail in another way.
      mkdirSync(join(folder, 'adapter_model.bin'));
      refused(name, folder, 'adapter_model.bin', 'pickle');
    });

    test('another base is refused', (t) => {
      const folder = folderOf(t, name);
      for (const base of BASES.values()) {
        if (base === baseOfCase(name)) continue;
        assert.throws(() => readArtefact(folder, base), EspalierError);
      }
    });
  });
}

test('a field that changes the maths and is not supported is refused by name', (t) => {
  const fields: [name: string, fields: Json, ...texts: string[]][] = [
    ['ia3', { fan_in_fan_out: true }, 'fan_in_fan_out', 'not supported yet'],
    ['ia3', { modules_to_save: ['lm_head'] }, 'modules_to_save', 'not supported yet'],
    ['vera', { bias: 'all' }, 'bias', 'not supported yet'],
    ['vera', { save_projection: false }, 'save_projection', 'not supported yet'],
    ['vera', { fan_in_fan_out: true }, 'fan_in_fan_out', 'not supported yet'],
    ['loha', { modules_to_save: ['lm_head'] }, 'modules_to_save', 'not supported yet'],
    ['oft', { bias: 'oft_only' }, 'bias', 'not supported yet'],
    ['prompt', { num_transformer_submodules: 2 }, 'num_transformer_submodules', 'not supported yet'],
    ['prompt', { modules_to_save: ['lm_head'] }, 'modules_to_save', 'not supported yet'],
    ['prefix', { task_type: 'SEQ_CLS' }, 'task_type', 'takes no keys and values'],
    ['tokens', { task_type: 'SEQ_CLS' }, 'task_type', 'no head beside trained tokens'],
    ['ia3', { task_type: 'SEQ_CLS', modules_to_save: ['score', 'norm'] }, 'modules_to_save', 'not supported yet'],
    ['ia3', { modules_to_save: ['score'] }, 'modules_to_save has score', 'task_type'],
    ['vera', { task_type: 'SEQ_2_SEQ_LM' }, 'task_type', 'not supported yet'],
    ['tokens', { target_modules: ['lm_head'] }, 'target_modules', 'not supported yet'],
  ];
  for (const [name, changed, ...texts] of fields) {
    refused(name, folderOf(t, name, { fields: changed }), 'adapter_config.json', ...texts);
  }
});

test('a field with a wrong or absurd value is refused by name', (t) => {
  const fields: [name: string, fields: Json, ...texts: string[]][] = [
    ['dora', { r: 1e9 }, 'r must be', '1000000000'],
    ['ia3', { target_modules: [] }, 'target_modules'],
    ['ia3', { feedforward_modules: null }, 'feedforward_modules'],
    ['ia3', { feedforward_modules: ['up_proj'] }, 'feedforward_modules', 'up_proj'],
    ['vera', { r: 0 }, 'r must be'],
    ['vera', { layers_pattern: 'layers' }, 'layers_pattern', 'layers_to_transform'],
    ['loha', { alpha: '4' }, 'alpha', '"4"'],
    ['loha', { rank_pattern: { q_proj: 1e9 } }, 'rank_pattern.q_proj'],
    ['lokr', { decompose_factor: 0 }, 'decompose_factor', '0'],
    ['oft', { r: 4 }, 'r and oft_block_size', '4 and 8'],
    ['oft', { oft_block_size: 1e9 }, 'oft_block_size'],
    ['oft', { oft_block_size: undefined }, 'oft_block_size is missing'],
    ['oft', { num_cayley_neumann_terms: 1e6 }, 'num_cayley_neumann_terms'],
    ['oft', { peft_version: '0.17.1' }, 'peft_version', '0.17.1'],
    ['oft', { peft_version: null }, 'peft_version is missing'],
    ['prompt', { num_virtual_tokens: 1e9 }, 'num_virtual_tokens', '1000000000'],
    ['prompt', { num_virtual_tokens: 0 }, 'num_virtual_tokens'],
    ['prompt', { token_dim: 64 }, 'token_dim is 64', '32'],
    ['prompt', { num_virtual_tokens: 512 }, 'num_virtual_tokens is 512', 'context'],
    ['prompt', { prompt_tuning_init: 'MAGIC' }, 'prompt_tuning_init', 'MAGIC'],
    ['p-tuning', { encoder_reparameterization_type: 'GRU' }, 'encoder_reparameterization_type', 'GRU'],
    ['prefix', { num_layers: 4 }, 'num_layers is 4', '3 layers'],
    ['prefix', { num_attention_heads: 4 }, 'num_attention_heads is 4', '2 key-value heads'],
    ['prefix', { num_attention_heads: null }, 'num_attention_heads'],
    ['tokens', { token_indices: [41, 7, 97] }, 'token_indices has 97', '97 tokens'],
    ['tokens', { token_indices: [41, 7, 7] }, 'token_indices', 'different'],
    ['tokens', { token_indices: [41, 7, -1] }, 'token_indices'],
    ['tokens', { token_indices: Array.from({ length: 70_000 }, (_, id) => id) }, 'token_indices', '65536'],
    ['lora-tokens', { trainable_token_indices: [41, 7, 1e6] }, 'trainable_token_indices has 1000000'],
  ];
  for (const [name, changed, ...texts] of fields) {
    refused(name, folderOf(t, name, { fields: changed }), 'adapter_config.json', ...texts);
  }
});

test('what only one setting of a method has is named when the config lacks the setting', (t) => {
  const off: [name: string, fields: Json, ...texts: string[]][] = [
    ['dora', { use_dora: false }, 'lora_magnitude_vector', 'use_dora false'],
    ['lora-bias', { lora_bias: false }, 'lora_B.bias', 'lora_bias false'],
    ['lora-tokens', { trainable_token_indices: null }, 'trainable_tokens_delta', 'trainable_token_indices'],
    ['lora-bias-all', { bias: 'none' }, 'q_proj.base_layer.bias', 'with bias "none" does not train'],
    ['lora-bias-all', { bias: 'lora_only' }, 'k_proj.bias', 'with bias "lora_only" does not train'],
    ['dora-bias-all', { bias: 'none' }, 'base_layer.bias', 'bias "none"'],
    ['lokr-product', { decompose_both: false }, 'lokr_w1_a', 'with the settings of the config'],
    ['oft-exact', { block_share: false }, 'oft_R.weight'],
    ['ia3', { feedforward_modules: [] }, 'down_proj.ia3_l', '[1, 48]', '[32, 1]'],
  ];
  for (const [name, fields, ...texts] of off) refused(name, folderOf(t, name, { fields }), ...texts);
});

test('the digest of what a config means ignores what has no effect on the answers, and nothing else', () => {
  const same: [name: string, fields: Json][] = [
    ['ia3', { init_ia3_weights: false }],
    ['vera', { vera_dropout: 0.5, d_initial: 7 }],
    ['loha', { module_dropout: 0.5 }],
    ['oft', { module_dropout: 0.5, eps: 1 }],
    ['prompt', { prompt_tuning_init: 'SAMPLE_VOCAB' }],
    ['prefix', { prefix_projection: true, encoder_hidden_size: 7 }],
  ];
  const other: [name: string, fields: Json][] = [
    ['dora', { use_dora: false }],
    ['lora-bias', { lora_bias: false }],
    ['lora-tokens', { trainable_token_indices: [1, 2, 3] }],
    ['lora-bias-all', { bias: 'lora_only' }],
    ['lora-parameters', { target_parameters: ['k_proj.weight'] }],
    ['lora-parameters', { target_parameters: null, target_modules: ['q_proj'] }],
    ['ia3', { feedforward_modules: [] }],
    ['vera', { r: 7 }],
    ['loha', { alpha: 7 }],
    ['lokr', { alpha_pattern: { q_proj: 7 } }],
    ['oft', { num_cayley_neumann_terms: 7 }],
    ['oft', { coft: true }],
    ['oft-constrained', { eps: 7 }],
    ['tokens', { token_indices: [7, 41, 90] }],
  ];
  const identity = (name: string, fields: Json = {}): string =>
    JSON.stringify(configIdentity(parsePeftConfig({ ...configOf(name), ...fields }, 'adapter_config.json')));
  for (const [name, fields] of same) assert.equal(identity(name, fields), identity(name), JSON.stringify(fields));
  for (const [name, fields] of other) assert.notEqual(identity(name, fields), identity(name), JSON.stringify(fields));
});
