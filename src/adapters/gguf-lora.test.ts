import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLoraConfig, encodeGguf, parseGguf, type LoraConfig } from '../formats/index.ts';
import { linearSites, parseModelConfig, permuteRows, unpermuteRows } from '../model/index.ts';
import { randomAdapter } from '../../test/support/tiny-adapters.ts';
import { ggufLora } from './gguf-lora.ts';
import { loraScales } from './methods/lora-scales.ts';

const configOf = (model_type: string) =>
  parseModelConfig(
    {
      architectures: [model_type === 'llama' ? 'LlamaForCausalLM' : 'Qwen2ForCausalLM'],
      model_type,
      vocab_size: 64,
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      hidden_act: 'silu',
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      max_position_embeddings: 64,
    },
    'config.json',
  );

function exported(modelType: string, more: Partial<LoraConfig> = {}) {
  const config = configOf(modelType);
  const sites = linearSites(config);
  const adapter = randomAdapter(sites, { seed: 3, rank: 4, targets: 'all-linear' });
  const changed = { ...adapter, config: { ...(adapter.config as LoraConfig), ...more } };
  const lora = ggufLora(changed, { config, sites }, 'acme/triage');
  const bytes = Buffer.concat(encodeGguf(lora.pairs, lora.tensors));
  return { config, sites, adapter: changed, file: parseGguf(bytes, 'adapter.gguf') };
}

/** scale · B · A by its first column and every row: llama.cpp's way on one side, PEFT's on the other. */
function column(scale: number, a: Float32Array, b: Float32Array, rank: number, inputs: number): number[] {
  return Array.from({ length: b.length / rank }, (_, row) => {
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += b[row * rank + r] * a[r * inputs];
    return scale * sum;
  });
}

test('what llama.cpp adds is what PEFT adds, in the order of the base’s rows', () => {
  const cases: [string, Partial<LoraConfig>][] = [
    ['llama', {}],
    ['qwen2', {}],
    ['llama', { use_rslora: true }],
    ['llama', { alpha_pattern: { q_proj: 3, down_proj: 5 } }],
  ];
  for (const [modelType, more] of cases) {
    const { config, sites, adapter, file } = exported(modelType, more);
    const alpha = file.metadata.get('adapter.lora.alpha') as number;
    assert.equal(file.tensors.size, 2 * sites.length);
    for (const site of sites) {
      const { rank, scale } = loraScales(adapter.config)(site.path);
      const name = `blk.${/layers\.(\d+)/.exec(site.path)?.[1]}.${GGUF_PARTS[site.role]}.weight`;
      assert.deepEqual(file.tensors.get(`${name}.lora_a`)?.shape, [rank, site.in]);
      assert.deepEqual(file.tensors.get(`${name}.lora_b`)?.shape, [site.out, rank]);
      let b = file.readFloats(`${name}.lora_b`);
      const isRotated = modelType === 'llama' && /[qk]_proj/.test(site.role);
      if (isRotated) b = unpermuteRows(b, config.headWidth, rank) as typeof b;
      const theirs = column(alpha / rank, file.readFloats(`${name}.lora_a`), b, rank, site.in);
      const part = (suffix: string): Float32Array =>
        adapter.tensors.get(`base_model.model.${site.path}.${suffix}.weight`)?.data as Float32Array;
      const ours = column(scale, part('lora_A'), part('lora_B'), rank, site.in);
      assert.ok(ours.some((value) => value !== 0));
      for (const [row, value] of ours.entries()) {
        assert.ok(
          Math.abs(value - theirs[row]) <= 1e-5 * Math.max(...ours.map(Math.abs)),
          `${modelType} ${name} ${row}`,
        );
      }
    }
  }
});

const GGUF_PARTS: Readonly<Record<string, string>> = {
  q_proj: 'attn_q',
  k_proj: 'attn_k',
  v_proj: 'attn_v',
  o_proj: 'attn_output',
  gate_proj: 'ffn_gate',
  up_proj: 'ffn_up',
  down_proj: 'ffn_down',
};

test('the header says what llama.cpp asks for', () => {
  const { file } = exported('llama');
  assert.deepEqual(
    [...file.metadata].filter(([key]) => key !== 'adapter.lora.alpha'),
    [
      ['general.architecture', 'llama'],
      ['general.type', 'adapter'],
      ['general.name', 'acme/triage'],
      ['adapter.type', 'lora'],
      ['adapter.lora.task_name', 'acme/triage'],
    ],
  );
  assert.equal(file.metadata.get('adapter.lora.alpha'), 8);
  assert.equal(exported('llama', { use_rslora: true }).file.metadata.get('adapter.lora.alpha'), 16, 'alpha · sqrt(r)');
});

test('rows go to GGUF’s order and back', () => {
  const rows = Float32Array.from({ length: 16 * 3 }, (_, i) => i);
  const there = permuteRows(rows, 8, 3);
  assert.notDeepEqual(there, rows);
  assert.deepEqual(unpermuteRows(there, 8, 3), rows);
});

test('what a GGUF adapter cannot hold is refused by name', () => {
  for (const [more, name] of [
    [{ use_dora: true }, /use_dora/],
    [{ lora_bias: true }, /lora_bias/],
    [{ trainable_token_indices: [1] }, /trainable_token_indices/],
  ] as const) {
    assert.throws(() => exported('llama', more as Partial<LoraConfig>), { code: 'ADAPTER_INVALID', message: name });
  }
  const config = configOf('llama');
  const ia3 = { config: { ...defaultLoraConfig(), peft_type: 'IA3' }, tensors: new Map() };
  assert.throws(() => ggufLora(ia3 as never, { config, sites: linearSites(config) }, 'x'), { code: 'ADAPTER_INVALID' });
});
