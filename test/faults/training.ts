/**
 * Does a training run survive kill -9 at any moment, whatever its method? `npm run faults:training -- --kills=50` trains a tiny base by every
 * method and by a preference objective, kills each run again and again at random moments (the command, its training process or both), resumes it,
 * and compares its files with those of the run that nobody killed. Exit code 1 when a byte differs.
 *
 *   node test/faults/training.ts [--kills=50] [--seed=1] [--only=METHOD,…] [--full-disk]
 *
 * --full-disk runs into the end of a real file system instead: a small tmpfs, which only root can mount.
 */
import { parseArgs } from 'node:util';
import { Rng } from '../../src/base/index.ts';
import { killedRun, methodKinds, type KilledRun, type RunKind } from '../support/killed-training.ts';
import { runJson, TemporaryFolder } from '../support/processes.ts';
import { fullDiskFaults } from '../support/small-disk.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats, writePairs } from '../support/training-files.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    'full-disk': { type: 'boolean', default: false },
  },
});
using folder = new TemporaryFolder();
const program = { home: folder.join('home'), threads: 1 };
const [data, pairs] = [folder.join('train.jsonl'), folder.join('pairs.jsonl')];
writeTinyBase(folder.join('tiny'));
await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], program);
writeChats(data, { count: 48, words: 24, seed: 1 });
writePairs(pairs, 48);

/** Steps of some 30 ms, of which two pass between checkpoints: a kill costs steps, and falls into a checkpoint now and then. */
const STEPS = ['--max-steps', '40', '--checkpoint-every', '2', '--evaluate-every', '4', '--batch-tokens', '384'];
const COMMON = ['--base', 'tiny', '--learning-rate', '1e-2', '--samples', '1', ...STEPS];

process.exitCode = values['full-disk'] ? await fullDisk() : await kills();

async function kills(): Promise<number> {
  const chats = methodKinds().map((kind) => ({ ...kind, args: ['--data', data, ...kind.args] }));
  const dpo = { name: 'dpo', args: ['--data', pairs, '--objective', 'dpo', '--dropout', '0.1'] };
  const wanted = values.only?.split(',');
  const kinds = [...chats, dpo].filter(({ name }) => wanted === undefined || wanted.includes(name));
  if (kinds.length === 0) throw new Error(`--only: none of ${[...chats, dpo].map(({ name }) => name).join(', ')}`);
  const total = Number(values.kills);
  const results: KilledRun[] = [];
  for (const [index, kind] of kinds.entries()) {
    // As many for each kind, and the rest one each for the first ones.
    const numKills = Math.floor(total / kinds.length) + Number(index < total % kinds.length);
    const rng = Rng.fromSeed(Number(values.seed), kind.name);
    results.push(await killedRun(kind, { program, args: COMMON, folder: folder.path, numKills, rng, onKill }));
  }
  for (const { kind, kills: done, differences } of results) {
    const outcome = differences.length === 0 ? 'the same bytes' : differences.join(', ');
    console.log(`${kind.padEnd(10)} ${String(done.length).padStart(3)} kills: ${outcome}`);
  }
  const numKills = results.reduce((sum, run) => sum + run.kills.length, 0);
  const numWrong = results.filter(({ differences }) => differences.length > 0).length;
  console.log(`${numKills} kills in ${results.length} kinds of runs, ${numWrong} with other bytes`);
  return numWrong === 0 && numKills > 0 ? 0 : 1;
}

function onKill({ name }: RunKind, { victim, afterMs, seen }: KilledRun['kills'][number]): void {
  console.log(`  ${name}: ${victim} killed after ${afterMs} ms (${seen || 'nothing printed yet'})`);
}

async function fullDisk(): Promise<number> {
  const problems = await fullDiskFaults(folder.join('disk'), {
    program,
    args: [...COMMON, '--data', data, '--targets', 'all-linear', '--rank', '64'],
  });
  for (const problem of problems) console.log(problem);
  console.log(problems.length === 0 ? 'a full disk: a clear error, and the run goes on from its checkpoint' : 'failed');
  return problems.length === 0 ? 0 : 1;
}
