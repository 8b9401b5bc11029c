import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultLoraConfig, openSafetensors, type LoraConfig } from '../formats/index.ts';
import { linearSites, parseModelConfig } from '../model/index.ts';
import { assertClose } from '../numeric/compare.ts';
import { randomAdapter } from '../../test/support/tiny-adapters.ts';
import type { Adapter } from './artefact.ts';
import { loraScales } from './methods/lora-scales.ts';
import { mlxLora, writeMlxLora, type MlxLora } from './mlx-lora.ts';

interface Golden {
  readonly config: Record<string, number | string>;
  readonly num_layers: number;
  readonly lora_parameters: { readonly rank: number; readonly scale: number; readonly keys: readonly string[] };
  /** Of mlx-lm's LoRA layers: names and shapes. */
  readonly parameters: Readonly<Record<string, readonly [number, number]>>;
  /** What each layer adds to its output, for two rows of input. */
  readonly added: Readonly<Record<string, readonly (readonly number[])[]>>;
}

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/mlx/golden.json', import.meta.url), 'utf8'),
) as Golden;
const config = parseModelConfig(
  {
    ...golden.config,
    architectures: ['LlamaForCausalLM'],
    hidden_act: 'silu',
    rope_theta: 10_000,
    max_position_embeddings: 64,
  },
  'config.json',
);
const base = { config, sites: linearSites(config) };

/** The rule of the golden's script. */
function valueOf(name: string, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (((i * 7919 + 31 * name.length) % 1000) - 500) / 1000);
}

function transposed(data: ArrayLike<number>, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, at) => data[(at % rows) * columns + Math.floor(at / rows)]);
}

/** scale · (x · lora_a) · lora_b, as mlx-lm computes it. */
function addedBy({ config: { lora_parameters }, tensors }: MlxLora, path: string, x: ArrayLike<number>): Float64Array {
  const a = tensors.get(`${path}.lora_a`);
  const b = tensors.get(`${path}.lora_b`);
  assert.ok(a && b, path);
  const [inputs, rank] = a.shape;
  const [, out] = b.shape;
  const y = new Float64Array((x.length / inputs) * out);
  for (let row = 0; row < x.length / inputs; row++) {
    for (let r = 0; r < rank; r++) {
      let z = 0;
      for (let i = 0; i < inputs; i++) z += x[row * inputs + i] * a.data[i * rank + r];
      for (let o = 0; o < out; o++) y[row * out + o] += lora_parameters.scale * z * b.data[r * out + o];
    }
  }
  return y;
}

test('a PEFT adapter becomes the parameters of mlx-lm’s layers, and adds what they add', () => {
  const { rank, keys, scale } = golden.lora_parameters;
  const tensors = new Map(
    Object.entries(golden.parameters).map(([name, [rows, columns]]) => {
      const part = name.endsWith('lora_a') ? 'lora_A' : 'lora_B';
      const path = `base_model.model.${name.replace(/lora_[ab]$/, part)}.weight`;
      return [path, { shape: [columns, rows], data: transposed(valueOf(name, rows * columns), rows, columns) }];
    }),
  );
  const target_modules = keys.map((key) => key.split('.')[1]);
  const settings = {
    ...defaultLoraConfig(),
    r: rank,
    lora_alpha: scale * rank,
    target_modules,
    layers_to_transform: [1],
  };
  const mlx = mlxLora({ config: settings, tensors }, base);
  assert.deepEqual(Object.fromEntries([...mlx.tensors].map(([name, { shape }]) => [name, shape])), golden.parameters);
  for (const [name, { data }] of mlx.tensors) assert.deepEqual(data, valueOf(name, data.length), name);
  assert.equal(mlx.config.num_layers, golden.num_layers);
  assert.deepEqual(
    { ...mlx.config.lora_parameters, keys: [...mlx.config.lora_parameters.keys].sort() },
    {
      ...golden.lora_parameters,
      keys: [...keys].sort(),
    },
  );
  for (const [path, rows] of Object.entries(golden.added)) {
    const inputs = golden.parameters[`${path}.lora_a`][0];
    assertClose(addedBy(mlx, path, valueOf('x', 2 * inputs)), rows.flat(), 'goldenF32', path);
  }
});

test('with other ranks and scales by pattern each module adds what PEFT adds', () => {
  const cases: Partial<LoraConfig>[] = [
    {},
    { use_rslora: true },
    { alpha_pattern: { q_proj: 3, down_proj: 5 } },
    { rank_pattern: { q_proj: 2, 'layers.1.mlp.up_proj': 6 }, use_rslora: true },
  ];
  for (const more of cases) {
    const settings = { ...defaultLoraConfig(), r: 4, lora_alpha: 8, target_modules: 'all-linear', ...more };
    const scaleOf = loraScales(settings);
    const tensors: Adapter['tensors'] = new Map(
      base.sites.flatMap((site) => {
        const { rank } = scaleOf(site.path);
        const name = `base_model.model.${site.path}`;
        return [
          [`${name}.lora_A.weight`, { shape: [rank, site.in], data: valueOf(`${name}a`, rank * site.in) }],
          [`${name}.lora_B.weight`, { shape: [site.out, rank], data: valueOf(`${name}bb`, rank * site.out) }],
        ] as const;
      }),
    );
    const mlx = mlxLora({ config: settings, tensors }, base);
    assert.equal(mlx.tensors.size, 2 * base.sites.length);
    assert.equal(mlx.config.num_layers, config.numLayers);
    for (const site of base.sites) {
      const { rank, scale } = scaleOf(site.path);
      const x = valueOf('xyz', site.in);
      const [a, b] = ['lora_A', 'lora_B'].map(
        (part) => tensors.get(`base_model.model.${site.path}.${part}.weight`)?.data as Float32Array,
      );
      const expected = Float64Array.from({ length: site.out }, (_, o) => {
        let sum = 0;
        for (let r = 0; r < rank; r++) {
          for (let i = 0; i < site.in; i++) sum += scale * b[o * rank + r] * a[r * site.in + i] * x[i];
        }
        return sum;
      });
      assertClose(addedBy(mlx, site.path, x), expected, 'goldenF32', `${JSON.stringify(more)} ${site.path}`);
    }
  }
});

test('the folder is the one that mlx-lm opens', () => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-mlx-'));
  try {
    const mlx = mlxLora(randomAdapter(base.sites, { seed: 1, rank: 2, targets: ['q_proj', 'v_proj'] }), base);
    writeMlxLora(join(folder, 'mlx'), mlx);
    assert.deepEqual(readdirSync(join(folder, 'mlx')).sort(), ['adapter_config.json', 'adapters.safetensors']);
    const written = JSON.parse(readFileSync(join(folder, 'mlx', 'adapter_config.json'), 'utf8')) as MlxLora['config'];
    assert.deepEqual(written, {
      fine_tune_type: 'lora',
      num_layers: 2,
      lora_parameters: { rank: 2, scale: 2, dropout: 0, keys: ['self_attn.q_proj', 'self_attn.v_proj'] },
    });
    using file = openSafetensors(join(folder, 'mlx', 'adapters.safetensors'));
    assert.deepEqual([...file.tensors.keys()].sort(), [...mlx.tensors.keys()].sort());
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what mlx-lm cannot hold is refused by name', () => {
  const adapter = randomAdapter(base.sites, { seed: 1, rank: 2, targets: ['q_proj'] });
  for (const [more, name] of [
    [{ use_dora: true }, /use_dora.*mlx-lm's format holds plain LoRA only/],
    [{ lora_bias: true }, /lora_bias/],
    [{ trainable_token_indices: [1] }, /trainable_token_indices/],
    [{ peft_type: 'IA3' }, /the method is IA3/],
  ] as const) {
    const changed = { ...adapter, config: { ...adapter.config, ...more } as LoraConfig };
    assert.throws(() => mlxLora(changed, base), { code: 'ADAPTER_INVALID', message: name });
  }
});
