/** The last layer makes the rows that somebody reads, and what it makes of them is the same bits as with all others beside them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adapters, makeRequest, NUM_PROMPTS, recorder, tinyBase } from '../../test/support/random-requests.ts';
import { DEFAULT_ENGINE, Engine } from './engine.ts';
import type { GenerateRequest } from './request.ts';
import { chooseRows } from './wanted-rows.ts';

const T = 40;
const adapter = adapters[1];
const laidOut = {
  positions_T: Int32Array.from({ length: T }, (_, row) => row % 20),
  paged: {
    rowSequences: Int32Array.from({ length: T }, (_, row) => Math.floor(row / 20)),
    contextLengths: Int32Array.from({ length: T }, (_, row) => (row % 20) + 1),
    blockTables: Int32Array.from([0, 1, 2, 3]),
    maxBlocks: 2,
    blockSize: 16,
  },
  spans: [
    { begin: 0, end: 10, adapter: adapters[0] },
    { begin: 10, end: 25, adapter },
    { begin: 25, end: 40, adapter: adapters[2] },
  ],
  promptRows: [],
};

test('rows are counted among those that are read', () => {
  const chosen = chooseRows({ ...laidOut, lastRows: [39, 12, 19] }) ?? assert.fail();
  assert.deepEqual([...chosen.rows_N], [12, 19, 39]);
  assert.deepEqual([...chosen.positions_N], [12, 19, 19]);
  assert.deepEqual([...chosen.paged.rowSequences], [0, 0, 1]);
  assert.deepEqual([...chosen.paged.contextLengths], [13, 20, 20]);
  assert.deepEqual(
    chosen.spans.map(({ begin, end }) => [begin, end]),
    [
      [0, 2],
      [2, 3],
    ],
  );
  assert.equal(chosen.spans[0].adapter, adapter);
  assert.deepEqual(chosen.lastRows, [2, 0, 1]);
});

test('a part of a prompt of which no row is read keeps one, and few spared rows are not chosen from', () => {
  assert.deepEqual([...(chooseRows({ ...laidOut, lastRows: [] })?.rows_N ?? [])], [0]);
  const most = Array.from({ length: T - 7 }, (_, row) => row);
  assert.equal(chooseRows({ ...laidOut, lastRows: most }), undefined);
  assert.ok(chooseRows({ ...laidOut, lastRows: most.slice(1) }));
});

test('an answer has the same logits whether all rows of its prompt are wanted or the last alone', () => {
  let numCompared = 0;
  for (let p = 0; p < NUM_PROMPTS; p++) {
    for (const a of adapters.keys()) {
      const { embedding: _, ...request } = makeRequest('one', p, a);
      if (request.promptTokenIds.length < 12) continue;
      const digests = [undefined, { top: 0, ofPrompt: true }].map((logprobs) => digestsOf({ ...request, logprobs }, a));
      assert.ok(digests[0].length > 0);
      assert.deepEqual(digests[0], digests[1], `prompt ${p}, adapter ${a}`);
      numCompared++;
    }
  }
  assert.ok(numCompared > 100);
});

function digestsOf(request: GenerateRequest, a: number): readonly number[] {
  const { digests, ...parts } = recorder();
  const engine = new Engine(tinyBase, { ...DEFAULT_ENGINE, maxSequences: 1, maxDraftTokens: 0 }, parts);
  engine.submit(request, adapters[a]);
  while (engine.hasWork) assert.deepEqual(engine.step().failures, []);
  return digests.get('one') ?? [];
}
