import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../base/index.ts';
import type { Sample, TrainJob, TrainStarted } from '../../training/index.ts';
import type { Base } from '../bases.ts';
import { RunJournal } from './journal.ts';

test('a resumed run keeps the samples up to its checkpoint on disk, also if it is killed before the next one', (t) => {
  const output = mkdtempSync(join(tmpdir(), 'espalier-journal-'));
  t.after(() => rmSync(output, { recursive: true }));
  const stepsOnDisk = (): number[] => {
    const lines = readFileSync(join(output, 'run', 'samples.jsonl'), 'utf8')
      .trim()
      .split('\n');
    return lines.map((line) => (JSON.parse(line) as Sample).step);
  };
  // Of base and job it reads the folder alone until the run is done.
  const begin = (startStep: number): RunJournal => {
    const journal = new RunJournal({} as Base, { output } as TrainJob, { tensorboard: undefined, clock: systemClock });
    journal.started({ startStep } as TrainStarted);
    return journal;
  };
  const first = begin(0);
  for (const step of [4, 8, 12]) first.sampled([{ step } as Sample]);
  assert.deepEqual(stepsOnDisk(), [4, 8, 12]);
  const second = begin(10);
  assert.deepEqual(stepsOnDisk(), [4, 8], 'the step after the checkpoint is taken again');
  begin(10);
  assert.deepEqual(stepsOnDisk(), [4, 8], 'a second kill loses nothing');
  second.sampled([{ step: 12 } as Sample]);
  assert.deepEqual(stepsOnDisk(), [4, 8, 12]);
  begin(0);
  assert.throws(stepsOnDisk, /ENOENT/, 'a new run begins without any');
});
