/** A classifier from labelled lines to its scores by the command line: what is kept of a run, that it repeats, and what is refused. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type {
  AdapterVersion,
  DataReport,
  DryRun,
  EvaluateReport,
  RepeatedOutcome,
  TrainOutcome,
} from '../../src/app/index.ts';
import { onlyDocument, run, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';

const folder = new TemporaryFolder();
const home = folder.join('home');
const data = folder.join('labelled.jsonl');
const output = folder.join('fruit');

interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null };
}

before(async () => {
  writeTinyBase(folder.join('tiny'), { seed: 1 });
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  const fruits = ['pear', 'plum', 'quince'];
  const rows = Array.from({ length: 60 }, (_, n) => ({
    text: `${'wall leaf '.repeat(n % 5)}${n} ${fruits[n % 3]}`,
    label: n % 3 === 1 ? 'stone' : 'pome',
  }));
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
});
after(() => folder[Symbol.dispose]());

function trainArgs(to: string, ...more: string[]): string[] {
  const options = [
    '--objective',
    'classification',
    '--max-steps',
    '12',
    '--evaluate-every',
    '6',
    '--batch-tokens',
    '256',
  ];
  return ['train', '--base', 'tiny', '--data', data, '--output', to, ...options, '--learning-rate', '1e-2', ...more];
}

async function failing(args: readonly string[], code = 1): Promise<Failure['error']> {
  const finished = await run([...args, '--json'], { home });
  assert.equal(finished.code, code, finished.stderr);
  return onlyDocument<Failure>(finished.stdout).error;
}

test('labels are counted by the check, learned, and kept with what is known of the run', async () => {
  const check = ['data', 'check', data, '--base', 'tiny', '--objective', 'classification'];
  const checked = await runJson<DataReport>(check, { home });
  assert.deepEqual(checked.labels, [
    { label: 'pome', examples: 40 },
    { label: 'stone', examples: 20 },
  ]);
  assert.deepEqual([checked.learnedTokens, checked.preview[0].spans.at(-1)], [60, { text: 'pome', weight: 1 }]);
  const dry = await runJson<DryRun>(trainArgs(folder.join('never'), '--dry-run'), { home });
  assert.deepEqual(dry.config.objective, { name: 'classification', labels: ['pome', 'stone'], reads: 'text' });

  const trained = await runJson<TrainOutcome>(trainArgs(output), { home });
  assert.equal(trained.trainableParameters, dry.trainableParameters, 'the head counts');
  assert.ok(trained.validLoss !== null && trained.validAccuracy !== null);
  const card = readFileSync(join(output, 'README.md'), 'utf8');
  assert.match(card, /pipeline_tag: text-classification\n[^]*id2label = {"0":"pome","1":"stone"}/);
  const samples = readFileSync(join(output, 'run', 'samples.jsonl'), 'utf8')
    .trim()
    .split('\n');
  for (const line of samples) {
    const { expected, generated } = JSON.parse(line) as { expected: string; generated: string };
    for (const label of [expected, generated]) assert.ok(['pome', 'stone'].includes(label), label);
  }

  const record = join(output, 'run', 'run.json');
  const again = await runJson<RepeatedOutcome>(['train', '--from-run', record, '--output', folder.join('again')], {
    home,
  });
  assert.deepEqual([again.isSame, again.digest], [true, trained.digest]);

  const published = await runJson<AdapterVersion>(['adapters', 'publish', output, 'acme/fruit', '--base', 'tiny'], {
    home,
  });
  assert.deepEqual(published.classes, { labels: ['pome', 'stone'], reads: 'text' });
  const shown = await run(['adapters', 'show', 'acme/fruit'], { home });
  assert.match(shown.stdout, /^labels +pome, stone$/m);

  const evaluate = ['evaluate', '--base', 'tiny', '--data', data, '--adapter', output];
  const report = await runJson<EvaluateReport>([...evaluate, '--metric', 'accuracy'], { home });
  const right = report.confusion?.reduce((sum, row, label) => sum + row[label], 0) ?? 0;
  assert.deepEqual([report.value, report.examples], [right / 60, 60]);
  assert.deepEqual(
    report.classes?.map(({ label, examples }) => [label, examples]),
    [
      ['pome', 40],
      ['stone', 20],
    ],
  );
  const talks = folder.join('talks.jsonl');
  const talk = { messages: [{ role: 'user', content: 'a pear' }], label: 'pome' };
  writeFileSync(talks, `${JSON.stringify(talk)}\n`);
  const onTalks = [...evaluate, '--data', talks, '--metric', 'accuracy'];
  assert.match((await failing(onTalks)).message, /has messages, and the classifier was trained on texts/);
  assert.match((await failing([...evaluate, '--metric', 'bleu'], 2)).message, /accuracy, macro-f1, loss/);
  const plain = ['evaluate', '--base', 'tiny', '--data', data, '--metric', 'accuracy'];
  assert.match((await failing(plain)).message, /holds labelled texts, and this is no classifier/);
});

test('virtual tokens take their places of the context when a classifier is scored too', async () => {
  const to = folder.join('prompted');
  const virtual = ['--method', 'prompt-tuning', '--virtual-tokens', '12'];
  await runJson<TrainOutcome>(trainArgs(to, ...virtual), { home });
  const long = folder.join('long.jsonl');
  writeFileSync(long, `${JSON.stringify({ text: 'wall '.repeat(2000), label: 'pome' })}\n`);
  const evaluate = ['evaluate', '--base', 'tiny', '--data', long, '--adapter', to, '--metric', 'accuracy'];
  assert.match((await failing(evaluate)).message, /the base takes at most 500/);
});

test('what does not go together is refused before anything is computed', async () => {
  const to = folder.join('never');
  for (const [more, message] of [
    [['--labels', 'pome'], /--labels are 1, expected at least two/],
    [['--labels', 'pome,pome'], /have "pome" twice/],
    [['--labels', 'pome,berry'], /label "stone" is none of "pome", "berry"/],
    [['--method', 'prefix-tuning'], /no head beside prefix-tuning, of which Hugging Face models/],
    [['--method', 'full'], /no head beside full/],
    [['--targets', 'q_proj,lm_head'], /lm_head, which a model that classifies does not have/],
    [['--start', 'eva'], /which a classification has none of/],
  ] as const) {
    const finished = await run([...trainArgs(to, ...more), '--json'], { home });
    assert.notEqual(finished.code, 0);
    assert.match(onlyDocument<Failure>(finished.stdout).error.message, message);
  }
  const sft = ['train', '--base', 'tiny', '--data', data, '--output', to];
  assert.match((await failing(sft)).message, /holds labelled texts.*use --objective classification/);
  assert.match((await failing([...sft, '--labels', 'a,b'], 2)).message, /--labels has no meaning for --objective sft/);
  assert.match(
    (await failing(['adapters', 'merge', output, '--into-base', '--base', 'tiny', '--output', to])).message,
    /score/,
  );
});
