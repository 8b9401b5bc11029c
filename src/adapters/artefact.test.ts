import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Rng } from '../base/index.ts';
import { defaultLoraConfig } from '../formats/index.ts';
import { linearSites, parseModelConfig } from '../model/index.ts';
import type { Tensor } from '../numeric/index.ts';
import { artefactDigest, readArtefact, writeArtefact, type Adapter } from './artefact.ts';
import { trainableMethodOf } from './methods/index.ts';

const CONFIG = parseModelConfig(
  {
    model_type: 'llama',
    vocab_size: 32,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 2,
  },
  'config.json',
);
const SITES = linearSites(CONFIG);

function makeAdapter(alpha: number): Adapter {
  const config = { ...defaultLoraConfig(), r: 2, lora_alpha: alpha, target_modules: ['q_proj'] };
  const rng = Rng.fromSeed(3);
  const tensors = new Map<string, Tensor>();
  for (const { name, shape } of trainableMethodOf(config).parameters(config, SITES, CONFIG)) {
    const size = shape.reduce((product, length) => product * length, 1);
    tensors.set(name, { shape, data: Float32Array.from({ length: size }, () => rng.nextNormal()) });
  }
  return { config, tensors };
}

test('what is written is read back with the same digest', () => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-artefact-'));
  try {
    const adapter = makeAdapter(4);
    const { digest } = writeArtefact(folder, adapter, 'sha256:base');
    const back = readArtefact(folder, { config: CONFIG, sites: SITES });
    assert.equal(artefactDigest(back, 'sha256:base'), digest);
    for (const [name, { data }] of adapter.tensors) assert.deepEqual(back.tensors.get(name)?.data, data);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the digest changes with a weight, a setting that changes the maths, and the base; not with the base’s name', () => {
  const digest = artefactDigest(makeAdapter(4), 'sha256:base');
  assert.notEqual(artefactDigest(makeAdapter(5), 'sha256:base'), digest);
  assert.notEqual(artefactDigest(makeAdapter(4), 'sha256:other'), digest);
  const changed = makeAdapter(4);
  const [first] = changed.tensors.values();
  first.data[0] += 1;
  assert.notEqual(artefactDigest(changed, 'sha256:base'), digest);
  const { config, tensors } = makeAdapter(4);
  assert.equal(
    artefactDigest({ config: { ...config, base_model_name_or_path: 'elsewhere' }, tensors }, 'sha256:base'),
    digest,
  );
});
