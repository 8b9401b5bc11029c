/** `espalier train` as a user runs it: real processes, killed and resumed; what bad input gets; what a run leaves behind. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TrainOutcome } from '../../src/app/index.ts';
import { digestOfFile, openSafetensors } from '../../src/formats/index.ts';
import { childrenOf, onlyDocument, Program, run, runJson, TemporaryFolder } from '../support/processes.ts';
import { writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';

const ARTEFACT = ['adapter_model.safetensors', 'adapter_config.json'];

interface Failure {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly param: string | null;
    readonly problems: readonly { readonly where: string; readonly message: string }[];
  };
}

const folder = new TemporaryFolder();
const home = folder.join('home');
const data = folder.join('train.jsonl');
const valid = folder.join('valid.jsonl');

before(async () => {
  for (const [name, seed] of [
    ['tiny', 1],
    ['other', 2],
  ] as const) {
    writeTinyBase(folder.join(name), { seed });
    await runJson(['models', 'import', folder.join(name), '--name', name], { home });
  }
  writeChats(data, { count: 48, words: 40, seed: 1 });
  writeChats(valid, { count: 4, words: 20, seed: 2 });
});
after(() => folder[Symbol.dispose]());

/** Steps long enough that a kill finds the run half way; dropout and held-out data, so that a checkpoint has all it can have. */
function trainArgs(output: string, changes: Readonly<Record<string, string>> = {}): string[] {
  const options = {
    base: 'tiny',
    data,
    valid,
    output,
    'max-steps': '20',
    'checkpoint-every': '5',
    'evaluate-every': '5',
    'batch-tokens': '4096',
    'micro-batch-tokens': '2048',
    'learning-rate': '1e-2',
    targets: 'all-linear',
    dropout: '0.2',
    ...changes,
  };
  return ['train', ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])];
}

async function failing(args: readonly string[], code = 1): Promise<Failure['error']> {
  const finished = await run([...args, '--json'], { home });
  assert.equal(finished.code, code, finished.stderr);
  return onlyDocument<Failure>(finished.stdout).error;
}

function digestsUnder(root: string): Record<string, string> {
  const files = globSync('**/*', { cwd: root }).filter((path) => statSync(join(root, path)).isFile());
  assert.ok(files.length > 0, `${root} has files`);
  return Object.fromEntries(files.sort().map((path) => [path, digestOfFile(join(root, path))]));
}

test('a run that is killed again and again ends in the bytes of one that was not', async (t) => {
  const models = digestsUnder(join(home, 'models'));
  const whole = await runJson<TrainOutcome>([...trainArgs(folder.join('whole')), '--publish', 'acme/words'], {
    home,
    threads: 2,
  });
  const packed = digestsUnder(join(home, 'packed'));

  await t.test('the document says what product users rely on', async () => {
    assert.equal(whole.adapter, 'acme/words@1');
    assert.equal(whole.output, folder.join('whole'));
    assert.equal(whole.steps, 20);
    for (const field of ['trainLoss', 'validLoss', 'seconds', 'tokensPerSecond'] as const) {
      assert.ok(Number.isFinite(whole[field]) && Number(whole[field]) > 0, field);
    }
    for (const field of ['trainableParameters', 'totalParameters', 'trainedTokens', 'peakMemoryBytes'] as const) {
      assert.ok(Number.isSafeInteger(whole[field]) && whole[field] > 0, field);
    }
    assert.ok(whole.trainLoss < Math.log(1280) * 2, 'the loss is one of a vocabulary of 1280');
    const shown = await runJson<{ digest: string; metrics: Record<string, number> }>(
      ['adapters', 'show', 'acme/words'],
      { home },
    );
    assert.equal(shown.digest, whole.digest);
    assert.equal(shown.metrics['validLoss'], whole.validLoss);
    assert.equal(existsSync(folder.join('whole', 'checkpoint.safetensors')), false, 'no checkpoint is left');
  });

  const output = folder.join('killed');
  const kills: readonly (readonly [what: string, step: number, kill: (program: Program) => void])[] = [
    ['the command alone', 6, (program) => program.kill()],
    ['the command and its child', 10, (program) => program.killAll()],
    ['the training process alone', 12, ({ pid }) => childrenOf(pid).forEach((child) => process.kill(child, 'SIGKILL'))],
  ];
  for (const [index, [what, step, kill]] of kills.entries()) {
    await t.test(`${what} is killed at step ${step}`, async () => {
      const resume = index === 0 ? [] : ['--resume'];
      await using program = new Program([...trainArgs(output), ...resume, '--json'], { home });
      await program.until(({ stderr }) => stderr.includes(`training ${step}/20`));
      kill(program);
      const { code, signal, stdout, stderr } = await program.finished;
      if (index === 2) {
        assert.equal(code, 1);
        assert.match(onlyDocument<Failure>(stdout).error.message, /ended by SIGKILL.*--resume/);
      } else {
        assert.equal(signal, 'SIGKILL');
        assert.equal(stdout, '');
      }
      if (index > 0) assert.match(stderr, /resumed after step (5|10)\n/);
      assert.ok(existsSync(join(output, 'checkpoint.safetensors')));
      for (const name of ARTEFACT) assert.equal(existsSync(join(output, name)), false, `${name} is not there yet`);
    });
  }

  await t.test('a resume with other data, settings or base is refused, and says what differs', async () => {
    const checkpoint = digestOfFile(join(output, 'checkpoint.safetensors'));
    const otherData = folder.join('other.jsonl');
    writeChats(otherData, { count: 48, words: 40, seed: 3 });
    const changes: readonly (readonly [what: string, changes: Record<string, string>])[] = [
      ['training data', { data: otherData }],
      ['held-out data', { valid: otherData }],
      ['configuration', { seed: '7' }],
      ['base', { base: 'other' }],
    ];
    for (const [what, changed] of changes) {
      const error = await failing([...trainArgs(output, changed), '--resume']);
      assert.deepEqual([error.code, error.param], ['CHECKPOINT_INVALID', what]);
      assert.ok(error.message.includes(`another ${what}`), error.message);
    }
    assert.equal(digestOfFile(join(output, 'checkpoint.safetensors')), checkpoint);
  });

  await t.test('the last resume ends in the same bytes', async () => {
    const resumed = await runJson<TrainOutcome>([...trainArgs(output), '--resume'], { home });
    for (const name of ARTEFACT) {
      assert.ok(readFileSync(join(output, name)).equals(readFileSync(folder.join('whole', name))), name);
    }
    for (const field of ['steps', 'bestStep', 'trainLoss', 'validLoss', 'validAccuracy', 'trainedTokens'] as const) {
      assert.equal(resumed[field], whole[field], field);
    }
  });

  assert.deepEqual(digestsUnder(join(home, 'models')), models, 'no run has changed a file of a base');
  const packedNow = digestsUnder(join(home, 'packed'));
  for (const [path, digest] of Object.entries(packed)) assert.equal(packedNow[path], digest, path);
});

test('another seed gives other bytes: the comparison above can fail', async () => {
  await runJson(trainArgs(folder.join('seeded'), { seed: '1' }), { home });
  const [name] = ARTEFACT;
  assert.ok(!readFileSync(folder.join('seeded', name ?? '')).equals(readFileSync(folder.join('whole', name ?? ''))));
});

test('every problem of the data is reported with its line, before anything is written', async () => {
  const bad = folder.join('bad.jsonl');
  const good = JSON.stringify({
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  });
  const lines = [good, '{"messages": [', good, '{"messages": [{"role": "bot", "content": "x"}]}', '{"text": "x"}'];
  writeFileSync(bad, lines.join('\n'));
  const error = await failing(trainArgs(folder.join('never'), { data: bad }));
  assert.equal(error.code, 'DATA_INVALID');
  const places = new Set(error.problems.map(({ where }) => where));
  for (const line of [2, 4, 5]) assert.ok(places.has(`bad.jsonl:${line}`), `${line}: ${[...places].join()}`);
  for (const line of [1, 3]) assert.ok(!places.has(`bad.jsonl:${line}`));
  assert.match(error.message, /system\|user\|assistant\|tool, got "bot"/);
  assert.equal(existsSync(folder.join('never')), false);
});

test('thousands of problems all come through', async () => {
  const bad = folder.join('thousands.jsonl');
  writeFileSync(bad, '{"messages": [{"role": "bot", "content": "x"}]}\n'.repeat(5000));
  const { problems } = await failing(trainArgs(folder.join('never'), { data: bad }));
  assert.ok(problems.some(({ where }) => where === 'thousands.jsonl:5000'));
});

test('a wrong call is exit code 2 and prints nothing on standard output', async () => {
  const calls = [['--rank', '0'], ['--no-such-option'], ['--dropout', '1'], ['--publish', 'no-task']];
  const finished = await Promise.all(
    calls.map((extra) => run([...trainArgs(folder.join('never')), ...extra], { home })),
  );
  for (const [index, { code, stdout, stderr }] of finished.entries()) {
    assert.deepEqual([code, stdout], [2, ''], stderr);
    assert.ok(stderr.includes(calls[index]?.[0] ?? ''), stderr);
  }
  const missing = await run(['train', '--base', 'tiny'], { home });
  assert.equal(missing.code, 2);
  assert.equal(existsSync(folder.join('never')), false);
});

test('an adapter that training left without effect is not published, one with an effect is, with its proof', async () => {
  // Its updates are far below what float32 adds to anything.
  const args = trainArgs(folder.join('idle'), { 'learning-rate': '1e-30', 'max-steps': '2' });
  const error = await failing([...args, '--publish', 'acme/idle']);
  assert.deepEqual([error.code, error.param], ['ADAPTER_INVALID', 'effect']);
  assert.equal((await run(['adapters', 'show', 'acme/idle'], { home })).code, 1);
  const moved = trainArgs(folder.join('moved'), { 'max-steps': '2' });
  await runJson([...moved, '--publish', 'acme/moved'], { home });
  const { provenance } = await runJson<{ provenance: Record<string, number> }>(['adapters', 'show', 'acme/moved'], {
    home,
  });
  assert.ok(provenance['parityError'] < 2e-2 && provenance['changeOfLogits'] > 0, JSON.stringify(provenance));
});

test('a target that matches no module is refused by name', async () => {
  const error = await failing(trainArgs(folder.join('never'), { targets: 'q_proj,no_proj' }));
  assert.deepEqual([error.code, error.param], ['TARGET_UNMATCHED', 'target_modules']);
  assert.match(error.message, /"no_proj" matches no module/);
});

test('trained tokens that the data do not have are named, and a run whose data have none of them does not begin', async () => {
  // "t" is in nearly every word of the data, "!" and "%" are in none.
  const args = trainArgs(folder.join('tokens'), { targets: 'q_proj', tokens: '88,5', 'max-steps': '1' });
  const finished = await run(args, { home });
  assert.equal(finished.code, 0, finished.stderr);
  assert.match(finished.stdout + finished.stderr, /warning: tokens: trained token 5 \("!"\) occurs nowhere/);
  const none = trainArgs(folder.join('never'), { targets: 'q_proj', tokens: '5,9' });
  for (const more of [[], ['--dry-run']]) {
    const error = await failing([...none, ...more]);
    assert.deepEqual([error.code, error.param], ['DATA_INVALID', 'tokens']);
    assert.match(error.message, /none of the trained tokens 5 \("!"\), 9 \("%"\)/);
  }
  assert.equal(existsSync(folder.join('never')), false);
});

test('a dry run refuses what the run would refuse', async () => {
  for (const [more, message] of [
    [['--publish', 'acme'], /--publish must be TENANT\/TASK, got "acme"/],
    [['--memory', '1MB'], /--memory picks what --micro-batch-tokens and --recompute set/],
    [['--method', 'full', '--publish', 'acme/x'], /--method full makes a whole model/],
  ] as const) {
    const args = [...trainArgs(folder.join('never'), {}), ...more];
    for (const dry of [[], ['--dry-run']]) {
      const { code, stderr } = await run([...args, ...dry], { home });
      assert.equal(code, 2);
      assert.match(stderr, message);
    }
  }
  assert.equal(existsSync(folder.join('never')), false);
});

test('a LoRA on weights by their names is trained and published; biases that the base does not have are refused', async () => {
  const own = { 'target-parameters': 'self_attn.q_proj.weight', targets: 'v_proj', dropout: '0', 'max-steps': '2' };
  await runJson([...trainArgs(folder.join('named'), own), '--publish', 'acme/named'], { home });
  using weights = openSafetensors(folder.join('named', 'adapter_model.safetensors'));
  const modules = [...weights.tensors.keys()].flatMap((name) => /\.(\w+)\.lora_[AB]/.exec(name)?.[1] ?? []);
  assert.deepEqual([...new Set(modules)].toSorted(), ['q_proj', 'v_proj']);
  const error = await failing(trainArgs(folder.join('never'), { bias: 'lora_only' }));
  assert.deepEqual([error.code, error.param], ['CONFIG_INVALID', 'bias']);
  const twice = await failing(trainArgs(folder.join('never'), { ...own, targets: 'q_proj' }));
  assert.match(twice.message, /q_proj is a target twice/);
});

// 1e30 overflows in the loss, 1e18 first in the gradients, where the loss still looks sound.
for (const rate of ['1e18', '1e30']) {
  test(`a run at the learning rate ${rate} fails, and its last checkpoint is sound`, async () => {
    const output = folder.join(`diverged-${rate}`);
    const changes = { 'checkpoint-every': '1', 'batch-tokens': '512', warmup: '0', 'learning-rate': rate };
    const error = await failing(trainArgs(output, { ...changes, targets: 'attention', dropout: '0' }));
    assert.equal(error.code, 'TRAINING_DIVERGED');
    assert.match(error.message, /lower --learning-rate/);
    for (const name of ARTEFACT) assert.equal(existsSync(join(output, name)), false, name);
    using checkpoint = openSafetensors(join(output, 'checkpoint.safetensors'));
    assert.ok(checkpoint.tensors.size > 0);
    for (const name of checkpoint.tensors.keys()) {
      assert.ok(checkpoint.readFloats(name).every(Number.isFinite), `${name} has only finite values`);
    }
  });
}
