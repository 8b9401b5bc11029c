import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EspalierError } from '../../../base/index.ts';
import { openSafetensors } from '../../safetensors/safetensors.ts';
import { writeSafetensors, type NamedTensor } from '../../safetensors/safetensors-write.ts';
import { parsePeftConfig } from '../peft-config.ts';
import { ADAPTER_WEIGHTS, readPeftFolder } from '../peft-folder.ts';
import { layoutOf } from './layout-of.ts';
import { RANDLORA_A, RANDLORA_B } from './shared-layouts.ts';

const GOLDEN = join(import.meta.dirname, '../../../../test/golden/peft/methods/randlora-layers');

test('the copies of RandLoRA’s bases that PEFT saves in every module are read as one; one that differs is refused by name', () => {
  const names = [...readPeftFolder(GOLDEN).tensors.keys()];
  assert.deepEqual(
    names.filter((name) => /randlora_[AB]$/.test(name)),
    [RANDLORA_A, RANDLORA_B],
  );
  const folder = mkdtempSync(join(tmpdir(), 'espalier-copies-'));
  try {
    cpSync(GOLDEN, folder, { recursive: true });
    using file = openSafetensors(join(GOLDEN, ADAPTER_WEIGHTS));
    const tensors = new Map<string, NamedTensor>();
    for (const [name, { shape }] of file.tensors) tensors.set(name, { shape, data: file.readFloats(name) });
    const copy = [...tensors.keys()].find((name) => name.endsWith('q_proj.randlora_B'));
    assert.ok(copy);
    const { data } = tensors.get(copy) as { data: Float32Array };
    data[7] += 1;
    writeSafetensors(join(folder, ADAPTER_WEIGHTS), tensors);
    assert.throws(() => readPeftFolder(folder), { code: 'ADAPTER_INVALID', param: copy });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('sizes that a module cannot have are refused with the field and the module', () => {
  const site = { path: 'model.layers.0.self_attn.q_proj', in: 48, out: 32 };
  const target_modules = ['q_proj'];
  const cases: [fields: Record<string, unknown>, param: string][] = [
    [{ peft_type: 'BOFT', boft_block_size: 5 }, 'boft_block_size'],
    [{ peft_type: 'BOFT', boft_block_size: 0, boft_block_num: 7 }, 'boft_block_num'],
    [{ peft_type: 'MISS', r: 49 }, 'r'],
    [{ peft_type: 'MISS', r: 32, init_weights: 'bat' }, 'r'],
    [{ peft_type: 'MISS', r: 4, init_weights: 'mini', mini_r: 5 }, 'mini_r'],
    [{ peft_type: 'FOURIERFT', n_frequency: 1537 }, 'n_frequency'],
    [{ peft_type: 'VBLORA', vector_length: 12 }, 'vector_length'],
  ];
  for (const [fields, param] of cases) {
    const layout = layoutOf(parsePeftConfig({ target_modules, ...fields }, 'test'));
    const base = { sites: [site] } as unknown as Parameters<typeof layout.expected>[1];
    const isNamed = (error: unknown): boolean =>
      error instanceof EspalierError &&
      error.code === 'ADAPTER_INVALID' &&
      error.param === param &&
      error.message.includes(site.path);
    assert.throws(() => layout.expected([site], base), isNamed, JSON.stringify(fields));
  }
});
