/** Runs that somebody keeps snapshots of, alone and in a group: the same files, whoever stops them and whenever. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../base/index.ts';
import { defaultLoraConfig } from '../formats/index.ts';
import { writeTinyBase } from '../../test/support/tiny-base.ts';
import { writeChats } from '../../test/support/training-files.ts';
import { GroupInbox } from './group-inbox.ts';
import { runGroup } from './group-job.ts';
import { runJob, snapshotFolder } from './job.ts';
import type { FromGroup, FromTrainer, ToGroup, TrainJob } from './messages.ts';
import { DEFAULT_OPTIMIZER } from './optimizer.ts';

const root = mkdtempSync(join(tmpdir(), 'espalier-kept-'));
after(() => rmSync(root, { recursive: true, force: true }));
writeTinyBase(join(root, 'base'));
writeChats(join(root, 'data.jsonl'), { count: 8, words: 6, seed: 1 });
const base = {
  name: 'tiny',
  path: join(root, 'base'),
  digest: 'tiny',
  packedDirectory: join(root, 'packed'),
  format: 'f32',
} as const;
const STEPS = 6;

function jobIn(name: string, resume = false): TrainJob {
  const folder = join(root, name);
  return {
    base,
    threads: 1,
    dataPath: join(root, 'data.jsonl'),
    validPath: undefined,
    config: {
      adapter: { ...defaultLoraConfig(), r: 2, target_modules: ['q_proj'] },
      maxSteps: STEPS,
      epochs: 1,
      batchTokens: 128,
      microBatchTokens: 64,
      learningRate: 0.01,
      schedule: 'cosine',
      warmup: 0,
      seed: name.startsWith('other') ? 2 : 1,
      optimizer: DEFAULT_OPTIMIZER,
      evaluateEverySteps: 2,
    },
    output: join(folder, 'adapter'),
    checkpointEverySteps: 100,
    samples: 0,
    resume,
    keeping: { folder, snapshotEverySteps: 2 },
    baseModelName: 'tiny',
  };
}

type Heard = Map<string, FromTrainer[]>;

/** Runs a group in this thread. @param onStep what is told to it after a step of a run */
async function together(
  jobs: Readonly<Record<string, TrainJob>>,
  onStep: (id: string, step: number) => ToGroup | undefined = () => undefined,
): Promise<Heard> {
  const inbox = new GroupInbox();
  const heard: Heard = new Map();
  for (const [id, job] of Object.entries(jobs)) inbox.put({ type: 'add', id, job });
  inbox.put({ type: 'end' });
  await runGroup(
    { type: 'group', base, threads: 1, maxTokens: 200 },
    inbox,
    systemClock,
    ({ id, message }: FromGroup) => {
      heard.set(id, [...(heard.get(id) ?? []), message]);
      const order = message.type === 'step' ? onStep(id, message.report.step) : undefined;
      if (order) inbox.put(order);
    },
  );
  return heard;
}

const files = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => {
        const path = join(parentPath, name);
        return [path.slice(folder.length), readFileSync(path, 'hex')];
      }),
  );
const typesOf = (heard: Heard, id: string): string[] => (heard.get(id) ?? []).map(({ type }) => type);

test('a kept run leaves the same snapshots, checkpoint and adapter in a group as alone', async () => {
  await runJob(jobIn('alone'), systemClock, () => undefined);
  const heard = await together({ one: jobIn('grouped'), other: jobIn('other') });
  const expected = files(join(root, 'alone'));
  assert.deepEqual(Object.keys(expected).filter((path) => path.includes('checkpoint')).length, 1, 'it is kept');
  assert.ok(existsSync(snapshotFolder(join(root, 'alone'), STEPS)));
  assert.deepEqual(files(join(root, 'grouped')), expected);
  assert.notDeepEqual(files(join(root, 'other')), expected, 'the comparison can fail');
  const expectedTypes = [
    'started',
    'step',
    'step',
    'snapshot',
    'step',
    'step',
    'snapshot',
    'step',
    'step',
    'snapshot',
    'done',
  ];
  assert.deepEqual(typesOf(heard, 'one'), expectedTypes);
});

test('a run that is stopped leaves the group with a checkpoint and goes on from there; one that is dropped writes nothing more', async () => {
  const jobs = { one: jobIn('stopped'), two: jobIn('dropped'), three: jobIn('other-left') };
  const heard = await together(jobs, (id, step) => {
    if (step === 3 && id === 'one') return { type: 'stop', id };
    return step === 3 && id === 'two' ? { type: 'drop', id } : undefined;
  });
  assert.deepEqual(heard.get('one')?.at(-1), { type: 'stopped', step: 3 });
  const last = heard.get('two')?.at(-1);
  assert.equal(last?.type === 'failed' && last.error.code, 'CANCELLED');
  assert.equal(typesOf(heard, 'three').at(-1), 'done');
  const resumed = await together({ two: jobIn('dropped', true) });
  const started = resumed.get('two')?.[0];
  assert.equal(
    started?.type === 'started' && started.started.startStep,
    2,
    'the checkpoint is that of its last snapshot',
  );
  await together({ one: jobIn('stopped', true) });
  assert.deepEqual(files(join(root, 'stopped')), files(join(root, 'alone')));
});

test('what a killed process had not finished writing is no part of a snapshot', async () => {
  const folder = snapshotFolder(join(root, 'killed'), 2);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, '.adapter_model.safetensors.Ab12Cd34Ef56Gh78Ij90Kl12.tmp'), 'half');
  await runJob(jobIn('killed'), systemClock, () => undefined);
  assert.deepEqual(readdirSync(folder).toSorted(), ['adapter_config.json', 'adapter_model.safetensors']);
});
