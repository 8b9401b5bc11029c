import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from '../base/index.ts';
import { linearSites, parseModelConfig } from '../model/index.ts';
import { resolveTargets, type TargetFields } from './targets.ts';

const SITES = linearSites(
  parseModelConfig(
    {
      model_type: 'llama',
      vocab_size: 32,
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 3,
      num_attention_heads: 2,
    },
    'config.json',
  ),
);

function pathsOf(fields: Partial<TargetFields>): string[] {
  const none = { target_modules: [], exclude_modules: null, layers_to_transform: null, layers_pattern: null };
  return resolveTargets({ ...none, ...fields }, SITES).map(({ path }) => path.replace('model.layers.', ''));
}

test('a list matches last parts and whole paths', () => {
  assert.deepEqual(pathsOf({ target_modules: ['v_proj'] }), [
    '0.self_attn.v_proj',
    '1.self_attn.v_proj',
    '2.self_attn.v_proj',
  ]);
  assert.deepEqual(pathsOf({ target_modules: ['model.layers.1.mlp.up_proj'] }), ['1.mlp.up_proj']);
  assert.deepEqual(pathsOf({ target_modules: ['mlp.up_proj'] }).length, 3);
});

test('a string is a regular expression for the whole path, or all-linear', () => {
  assert.deepEqual(pathsOf({ target_modules: '.*\\.2\\.mlp\\.(up|down)_proj' }), ['2.mlp.up_proj', '2.mlp.down_proj']);
  assert.equal(pathsOf({ target_modules: 'all-linear' }).length, 21);
  // A part of a path is not the whole of it.
  assert.throws(() => pathsOf({ target_modules: 'q_proj' }), { code: 'TARGET_UNMATCHED' });
});

test('layers_to_transform takes the number behind layers_pattern, or behind any name', () => {
  const target_modules = ['q_proj'];
  assert.deepEqual(pathsOf({ target_modules, layers_to_transform: [0, 2] }), [
    '0.self_attn.q_proj',
    '2.self_attn.q_proj',
  ]);
  assert.deepEqual(pathsOf({ target_modules, layers_to_transform: 1, layers_pattern: 'layers' }), [
    '1.self_attn.q_proj',
  ]);
  assert.throws(() => pathsOf({ target_modules, layers_to_transform: 1, layers_pattern: 'blocks' }), {
    code: 'TARGET_UNMATCHED',
  });
});

test('exclusions win, and excluding everything is an error', () => {
  assert.deepEqual(
    pathsOf({ target_modules: ['q_proj', 'k_proj'], exclude_modules: ['k_proj', 'layers.0.self_attn.q_proj'] }),
    ['1.self_attn.q_proj', '2.self_attn.q_proj'],
  );
  assert.throws(() => pathsOf({ target_modules: ['q_proj'], exclude_modules: '.*' }), { code: 'TARGET_UNMATCHED' });
});

test('a target without effect is named, whatever else matches', () => {
  assert.throws(
    () => pathsOf({ target_modules: ['q_proj', 'attn_magic'] }),
    (error) =>
      error instanceof EspalierError && error.code === 'TARGET_UNMATCHED' && error.message.includes('attn_magic'),
  );
  assert.throws(
    () => pathsOf({ target_modules: ['lm_head'] }),
    (error) => error instanceof EspalierError && error.message.includes('not supported yet'),
  );
});
