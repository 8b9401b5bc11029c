/** Virtual tokens and trained tokens' rows, against a plain float64 forward that knows neither batch nor cache. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { plainLogits } from '../../test/support/plain-forward.ts';
import { prefixAdapter, promptAdapter, scaleAdapter, tokenAdapter } from '../../test/support/served-adapters.ts';
import { randomAdapter } from '../../test/support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../../test/support/tiny-base.ts';
import { BASE_ADAPTER, compileAdapter, type CompiledAdapter } from '../adapters/index.ts';
import { loadBase } from '../model/index.ts';
import { assertClose } from '../numeric/compare.ts';
import { loadNativeKernels } from '../numeric/index.ts';
import { DEFAULT_ENGINE, Engine } from './engine.ts';
import type { GenerateRequest } from './request.ts';
import { argmax } from './sampling/sampler.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtual-tokens-'));
after(() => rmSync(folder, { recursive: true }));
writeTinyBase(folder);
const base = loadBase(folder, 'tiny', loadNativeKernels({ threads: 1 }), 'f32');

const lora = compileAdapter(randomAdapter(tinySites(), { seed: 1, rank: 4, targets: 'all-linear' }), base);
const prompt = promptAdapter(base.config, 20, 2);
const prefix = prefixAdapter(base.config, 37, 3);
const ADAPTERS: Readonly<Record<string, CompiledAdapter>> = {
  base: BASE_ADAPTER,
  lora,
  scales: scaleAdapter(base.config, 4),
  'virtual embeddings': prompt,
  'virtual keys and values': prefix,
  'token rows, head untied': tokenAdapter(base.config, false, 5),
  'token rows, head tied': tokenAdapter(base.config, true, 5),
  'virtual embeddings, lora and token rows': { ...prompt, sites: lora.sites, ...tokenRowsOf(6) },
  'virtual keys, lora and token rows': { ...prefix, sites: lora.sites, ...tokenRowsOf(7) },
};

function tokenRowsOf(seed: number): Pick<CompiledAdapter, 'tokenRows'> {
  const { tokenRows } = tokenAdapter(base.config, true, seed);
  return { tokenRows };
}

const PROMPT = Array.from({ length: 25 }, (_, i) => (37 * i + 4) % base.config.vocabSize);

function request(id: string, more: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    id,
    promptTokenIds: Int32Array.from(PROMPT),
    adapter: null,
    maxTokens: 8,
    stopTokenIds: [],
    sampling: { temperature: 0, topP: 1, seed: 0 },
    ...more,
  };
}

interface Answer {
  readonly tokenIds: number[];
  readonly rows: Float32Array[];
  cachedTokens: number;
}

/** Runs requests to their end. @returns what each got, with the logits of every token */
function answers(engine: Engine, logits: Map<string, Float32Array[]>): Map<string, Answer> {
  const got = new Map<string, Answer>();
  while (engine.hasWork) {
    const { events, failures } = engine.step();
    assert.deepEqual(failures, []);
    for (const { id, tokenIds, cachedTokens } of events) {
      const answer = got.get(id) ?? { tokenIds: [], rows: logits.get(id) ?? [], cachedTokens: cachedTokens ?? NaN };
      answer.tokenIds.push(...tokenIds);
      got.set(id, answer);
    }
  }
  return got;
}

function recordingEngine(options: Partial<typeof DEFAULT_ENGINE> = {}) {
  const logits = new Map<string, Float32Array[]>();
  const engine = new Engine(
    base,
    { ...DEFAULT_ENGINE, ...options },
    {
      choose: ({ request: { id } }, logits_V, best) => {
        const rows = logits.get(id) ?? [];
        rows.push(Float32Array.from(logits_V));
        logits.set(id, rows);
        assert.equal(best, argmax(logits_V));
        return { id: best, logprob: undefined };
      },
    },
  );
  return { engine, run: () => answers(engine, logits) };
}

describe('the engine’s logits are those of the plain forward', () => {
  for (const [name, adapter] of Object.entries(ADAPTERS)) {
    test(name, () => {
      // In pieces of seven rows, so that virtual tokens are cut too.
      const { engine, run } = recordingEngine({ maxStepTokens: 7 });
      engine.submit(request('a'), adapter);
      const { tokenIds, rows } = run().get('a') ?? assert.fail();
      assert.equal(tokenIds.length, 8);
      const plain = plainLogits(base, adapter, [...PROMPT, ...tokenIds]).slice(PROMPT.length - 1, -1);
      for (const [n, row] of rows.entries()) assertClose(row, plain[n], 'goldenF32', `token ${n}`);
    });
  }
});

test('in one batch, whole, with everything cached, every form has the bits that it has alone', () => {
  const alone = new Map(
    Object.entries(ADAPTERS).map(([name, adapter]) => {
      const { engine, run } = recordingEngine({ maxStepTokens: 7 });
      engine.submit(request('a', { adapter: name }), adapter);
      return [name, run().get('a') ?? assert.fail()];
    }),
  );
  const { engine, run } = recordingEngine();
  for (const expectCached of [false, true]) {
    for (const [name, adapter] of Object.entries(ADAPTERS)) engine.submit(request(name, { adapter: name }), adapter);
    for (const [name, { tokenIds, rows, cachedTokens }] of run()) {
      const expected = alone.get(name) ?? assert.fail();
      assert.deepEqual(tokenIds, expected.tokenIds, name);
      assert.deepEqual(rows.slice(-8), expected.rows, name);
      assert.equal(cachedTokens > 0, expectCached, `${name}: ${cachedTokens} cached`);
      assert.ok(cachedTokens < PROMPT.length, 'the prompt’s own tokens, of which one is always computed');
    }
    engine.audit();
  }
});

test('each form changes the answer', () => {
  const texts = Object.values(ADAPTERS).map((adapter) => {
    const { engine, run } = recordingEngine();
    engine.submit(request('a'), adapter);
    return run().get('a')?.tokenIds.join();
  });
  assert.equal(new Set(texts).size, texts.length);
});

test('virtual tokens count for the context', () => {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, cacheTokens: 64 });
  engine.submit(request('fits', { maxTokens: 64 - 37 - 25 }), prefix);
  assert.throws(() => engine.submit(request('long', { maxTokens: 64 - 37 - 25 + 1 }), prefix), {
    code: 'CONTEXT_TOO_LONG',
    message: /25 tokens, the adapter 37 virtual ones and max_tokens is 3: .* 64 /,
  });
  const unlimited = recordingEngine({ cacheTokens: 64 });
  unlimited.engine.submit(request('open', { maxTokens: null }), prompt);
  assert.equal(unlimited.run().get('open')?.tokenIds.length, 64 - 20 - 25);
});

test('an adapter that does not fit the base is refused before anything is kept', () => {
  const engine = new Engine(base);
  const tensor = { shape: [2, 3], data: new Float32Array(6) };
  const rows_KD = { shape: [1, 32], data: new Float32Array(32) };
  const wrong: readonly (readonly [RegExp, Partial<CompiledAdapter>])[] = [
    [/virtual embeddings has the shape \[2, 3\], this base needs \[2, 32\]/, virtualOf(2)],
    [/0 virtual tokens/, virtualOf(0)],
    [
      /keys has the shape \[2, 3\]/,
      { virtual: { kind: 'key-values', count: 3, keys_LNK: tensor, values_LNK: tensor } },
    ],
    [/token rows has the shape/, { tokenRows: { ids: Int32Array.of(1, 2), rows_KD, isHeadTied: false } }],
    [/token 1280, .* 0 to 1279/, { tokenRows: { ids: Int32Array.of(1280), rows_KD, isHeadTied: false } }],
  ];
  function virtualOf(count: number): Partial<CompiledAdapter> {
    return { virtual: { kind: 'embeddings', count, embeddings_ND: tensor } };
  }
  for (const [message, part] of wrong) {
    const adapter = { ...BASE_ADAPTER, ...part };
    assert.throws(() => engine.submit(request('a'), adapter), { code: 'ADAPTER_INVALID', message });
  }
  assert.equal(engine.hasWork, false);
});
