/** Every PEFT method through the engine: PEFT's logits after each token, alone, and with all methods in one batch bit for bit the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE_ADAPTER, type CompiledAdapter } from '../../src/adapters/index.ts';
import { assertBitEqual, assertClose } from '../../src/numeric/compare.ts';
import { DEFAULT_ENGINE, Engine } from '../../src/serving/engine.ts';
import { GREEDY } from '../../src/serving/request.ts';
import type { BaseModel } from '../../src/model/index.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { loadPeftBases, loadPeftCases } from '../support/peft-cases.ts';
import { floatsOf } from './goldens.ts';

interface Asked {
  readonly id: string;
  readonly tenant: string;
  readonly adapter: CompiledAdapter;
  readonly tokenIds: readonly number[];
}

/** The logits after the last token of each request, all submitted at once. */
function answer(base: BaseModel, requests: readonly Asked[], maxStepTokens: number): Map<string, Float32Array> {
  const logits = new Map<string, Float32Array>();
  const engine = new Engine(
    base,
    { ...DEFAULT_ENGINE, maxStepTokens, cacheTokens: 4096, blockSize: 4 },
    {
      choose({ request }, logits_V) {
        logits.set(request.id, Float32Array.from(logits_V));
        return { id: 0, logprob: undefined };
      },
    },
  );
  for (const { id, tenant, adapter, tokenIds } of requests) {
    engine.submit(
      {
        id,
        tenant,
        adapter: adapter === BASE_ADAPTER ? null : tenant,
        promptTokenIds: Int32Array.from(tokenIds),
        maxTokens: 1,
        stopTokenIds: [],
        sampling: GREEDY,
      },
      adapter,
    );
  }
  while (engine.hasWork) assert.deepEqual(engine.step().failures, []);
  return logits;
}

function rowOf(logits: ReadonlyMap<string, Float32Array>, id: string): Float32Array {
  const row = logits.get(id);
  assert.ok(row, `${id} was answered`);
  return row;
}

const bases = loadPeftBases();
const CASES = loadPeftCases(bases);

for (const [name, base] of bases) {
  // Every prefix of every sequence is a request, so that every row of PEFT's logits is asked for.
  const expected = new Map<string, Float32Array>();
  const ask = (tenant: string, adapter: CompiledAdapter, sequence: readonly number[], index: number): Asked[] =>
    sequence.map((_, last) => ({
      id: `${tenant} ${index} ${last}`,
      tenant,
      adapter,
      tokenIds: sequence.slice(0, last + 1),
    }));
  const requests = CASES.filter((one) => one.base === base).flatMap(({ name: tenant, golden, compiled }) =>
    golden.sequences.flatMap(({ tokenIds, logits }, index) => {
      const rows = floatsOf(logits);
      const asked = ask(tenant, compiled, tokenIds, index);
      const V = base.config.vocabSize;
      for (const [row, { id }] of asked.entries()) expected.set(id, rows.slice(row * V, (row + 1) * V));
      return asked;
    }),
  );
  const baseIds = [5, 1, 8, 2, 9, 3];
  const baseRequests = ask('base', BASE_ADAPTER, baseIds, 0);
  // In turn, so that neighbours in a step are of different methods.
  const together = [...requests, ...baseRequests].toSorted((a, b) =>
    a.id.split(' ')[2].localeCompare(b.id.split(' ')[2]),
  );

  test(`${name}: all methods in one batch give PEFT's logits`, () => {
    const logits = answer(base, together, 64);
    assert.equal(logits.size, together.length);
    for (const [id, rows] of expected) assertClose(rowOf(logits, id), rows, 'goldenF32', id);
    const plain = forwardLogits(base, [baseIds])[0];
    const V = base.config.vocabSize;
    for (const [row, { id }] of baseRequests.entries()) {
      assertBitEqual(rowOf(logits, id), plain.subarray(row * V, (row + 1) * V), id);
    }
  });

  test(`${name}: each is bit-identical to itself alone, whatever shares a step with it`, () => {
    for (const maxStepTokens of [7, 512]) {
      const logits = answer(base, together, maxStepTokens);
      for (const request of together) {
        const alone = rowOf(answer(base, [request], 512), request.id);
        assertBitEqual(rowOf(logits, request.id), alone, request.id);
      }
    }
  });
}
