/** What a run writes down of its settings, a repetition and a retraining can read: whatever the method and its options. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { before, after, test } from 'node:test';
import { TemporaryFolder } from '../../../test/support/processes.ts';
import { writeTinyBase } from '../../../test/support/tiny-base.ts';
import { chatLines } from '../../../test/support/tuning-data.ts';
import { resolveBase, type Base } from '../bases.ts';
import { readConfig } from '../config.ts';
import { parseRunConfig } from './run-record.ts';
import { runConfig } from './run-settings.ts';
import { TRAINING_METHODS } from './train-methods.ts';
import { TRAIN_DEFAULTS, type TrainOptions } from './train-options.ts';

const folder = new TemporaryFolder();
const data = folder.join('chats.jsonl');
let base: Base;

before(async () => {
  writeTinyBase(folder.join('tiny'));
  writeFileSync(data, chatLines(8));
  base = await resolveBase(readConfig({ ESPALIER_HOME: folder.join('home') }), folder.join('tiny'));
});
after(() => folder[Symbol.dispose]());

const CASES: readonly (readonly [name: string, options: Partial<TrainOptions>])[] = [
  ...TRAINING_METHODS.map(
    (method) => [method, { method, ...(method === 'trainable-tokens' && { tokens: '5,3' }) }] as const,
  ),
  ...(['pissa', 'olora', 'eva', 'loftq', 'lora-ga'] as const).map((start) => [`--start ${start}`, { start }] as const),
  ['--freeze-a', { freezeA: true }],
  ['--rate-ratio', { rateRatio: 16 }],
  ['--init-text', { method: 'prompt-tuning', initText: 'is it even?' }],
  ['--weight-decay', { weightDecay: 0.1 }],
  ['--patience', { patience: 3 }],
  ['--recompute', { recompute: true }],
  ['--objective dpo', { objective: 'dpo', beta: 0.3 }],
];

for (const [name, options] of CASES) {
  test(name, () => {
    const config = runConfig({ ...TRAIN_DEFAULTS, base: 'tiny', data, output: folder.join('out'), ...options }, base);
    const kept: unknown = JSON.parse(JSON.stringify(config));
    assert.deepEqual(JSON.parse(JSON.stringify(parseRunConfig(kept, 'settings'))), kept);
  });
}
