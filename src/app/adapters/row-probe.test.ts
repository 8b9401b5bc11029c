import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { prefixAdapter, promptAdapter, tokenAdapter } from '../../../test/support/served-adapters.ts';
import { randomAdapter } from '../../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../../test/support/tiny-base.ts';
import { BASE_ADAPTER, compileAdapter, type CompiledAdapter } from '../../adapters/index.ts';
import { loadBase } from '../../model/index.ts';
import { loadNativeKernels, WEIGHT_FORMATS } from '../../numeric/index.ts';
import { Engine } from '../../serving/index.ts';
import { probeRows } from './row-probe.ts';

const folder = mkdtempSync(join(tmpdir(), 'row-probe-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const kernels = loadNativeKernels({ threads: 1 });
const base = loadBase(folder, 'tiny', kernels, 'f32');

const { sites } = compileAdapter(randomAdapter(tinySites(), { seed: 1, rank: 4, targets: 'all-linear' }), base);
const { tokenRows } = tokenAdapter(base.config, true, 5);
const ADAPTERS: Readonly<Record<string, CompiledAdapter>> = {
  'virtual embeddings': promptAdapter(base.config, 20, 2),
  'virtual keys and values': prefixAdapter(base.config, 37, 3),
  'token rows, head untied': tokenAdapter(base.config, false, 5),
  'token rows, head tied': tokenAdapter(base.config, true, 5),
  'virtual embeddings, lora and token rows': { ...promptAdapter(base.config, 5, 2), sites, tokenRows },
  'virtual keys, lora and token rows': { ...prefixAdapter(base.config, 5, 3), sites, tokenRows },
};

for (const [name, adapter] of Object.entries(ADAPTERS)) {
  test(`${name}: the engine gives the logits of a plain pass`, () => {
    for (const format of WEIGHT_FORMATS) {
      const probe = probeRows(loadBase(folder, 'tiny', kernels, format), adapter);
      assert.ok(probe && probe.error < probe.tolerance / 2, `${format}: ${probe?.error}`);
    }
  });
}

test('an engine that serves something else is found out', () => {
  const submit = Reflect.get(Engine.prototype, 'submit');
  const scaled = (of: { readonly data: Float32Array | Float64Array }): Float32Array =>
    Float32Array.from(of.data, (x) => 1.1 * x);
  // What it is given is a tenth off.
  Engine.prototype.submit = function (request, adapter, grammar) {
    const { virtual, tokenRows: rows } = adapter ?? BASE_ADAPTER;
    const wrong: CompiledAdapter = {
      ...(adapter ?? BASE_ADAPTER),
      ...(rows && { tokenRows: { ...rows, rows_KD: { ...rows.rows_KD, data: scaled(rows.rows_KD) } } }),
      ...(virtual?.kind === 'embeddings' && {
        virtual: { ...virtual, embeddings_ND: { ...virtual.embeddings_ND, data: scaled(virtual.embeddings_ND) } },
      }),
      ...(virtual?.kind === 'key-values' && {
        virtual: { ...virtual, values_LNK: { ...virtual.values_LNK, data: scaled(virtual.values_LNK) } },
      }),
    };
    Reflect.apply(submit, this, [request, wrong, grammar]);
  };
  try {
    for (const [name, adapter] of Object.entries(ADAPTERS)) {
      assert.throws(() => probeRows(base, adapter), { code: 'ADAPTER_INVALID', param: 'parity' }, name);
    }
  } finally {
    Engine.prototype.submit = submit;
  }
});

test('rows that are the base’s own change nothing, and are refused', () => {
  const ids = Int32Array.of(3, 8, 9);
  const rows_KD = { shape: [3, base.config.hiddenSize], data: new Float32Array(3 * base.config.hiddenSize) };
  base.kernels.embeddingForward(rows_KD.data, base.embedding, ids, 3);
  const same: CompiledAdapter = { ...BASE_ADAPTER, tokenRows: { ids, rows_KD, isHeadTied: false } };
  assert.throws(() => probeRows(base, same), { code: 'ADAPTER_INVALID', param: 'effect' });
  assert.equal(probeRows(base, BASE_ADAPTER), undefined);
});
