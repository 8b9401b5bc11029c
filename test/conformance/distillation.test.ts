/** Distillation against torch's autograd through Hugging Face PEFT, and from the command line. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileAdapter, passHooks, readArtefact, spanHooks } from '../../src/adapters/index.ts';
import { baseHooks, loadBase, type SiteHooks } from '../../src/model/index.ts';
import { assertClose } from '../../src/numeric/compare.ts';
import { BufferPool, Inference, loadNativeKernels } from '../../src/numeric/index.ts';
import { openTokenizer } from '../../src/text/index.ts';
import { evaluateStep, type TrainResult } from '../../src/training/index.ts';
import { distillationObjective } from '../../src/training/objectives/distillation.ts';
import { openTeacher } from '../../src/training/teacher.ts';
import { loadPeftBases, loadPeftCases } from '../support/peft-cases.ts';
import { run, runJson, TemporaryFolder } from '../support/processes.ts';
import { replayTraining, type ReplaySettings } from '../support/replay-training.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';
import { writeChats } from '../support/training-files.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenArray } from './goldens.ts';

interface DistillationGolden {
  readonly settings: ReplaySettings & { readonly learning_rate: number };
  readonly batches: readonly (readonly { tokenIds: number[]; lossWeights: number[] }[])[];
  readonly runs: Readonly<
    Record<
      string,
      {
        readonly teacher: string | null;
        readonly temperature: number;
        readonly share: number;
        readonly losses: readonly number[];
        readonly gradNorms: readonly number[];
        readonly gradients: Readonly<Record<string, GoldenArray>>;
      }
    >
  >;
}

const golden = readGolden<DistillationGolden>('full', 'distillation.json');
const base = loadBase(join(GOLDEN, 'models', 'tiny-llama'), 'tiny-llama', loadNativeKernels(), 'f32');
const adapterAt = (name: string) => readArtefact(join(GOLDEN, 'peft', 'combining', name), base);

function hooksOf(name: string | null): SiteHooks {
  if (name === null) return baseHooks;
  const adapter = compileAdapter(adapterAt(name), base);
  return {
    linear: (g, site, x, layer) => spanHooks([{ begin: 0, end: x.shape[0], adapter }]).linear(g, site, x, layer),
  };
}

for (const [name, expected] of Object.entries(golden.runs)) {
  test(`${name}: losses and gradients are torch’s`, () => {
    const objective = {
      name: 'distillation' as const,
      teacher: 'sha256:0',
      temperature: expected.temperature,
      teacherShare: expected.share,
    };
    const { steps } = replayTraining(base, adapterAt('first'), {
      batches: golden.batches.map((batch) =>
        batch.map(({ tokenIds, lossWeights }) => ({
          tokenIds: Int32Array.from(tokenIds),
          lossWeights: Float32Array.from(lossWeights),
        })),
      ),
      learningRates: golden.batches.map(() => golden.settings.learning_rate),
      settings: golden.settings,
      objective,
      teacher: { base, hooks: hooksOf(expected.teacher) },
      keepsGradients: (step) => step === 1,
    });
    for (const [index, loss] of expected.losses.entries()) {
      assert.ok(
        Math.abs(steps[index].loss - loss) / loss <= 1e-4,
        `step ${index + 1}: ${steps[index].loss}, torch ${loss}`,
      );
      assert.ok(
        Math.abs(steps[index].gradientNorm / expected.gradNorms[index] - 1) <= 1e-3,
        `norm of step ${index + 1}`,
      );
    }
    for (const [tensor, gradient] of Object.entries(expected.gradients)) {
      assertClose(steps[0].gradients?.get(tensor) ?? [], floatsOf(gradient), 'gradientF32', tensor);
    }
  });
}

const bases = loadPeftBases();
const tokens = new TemporaryFolder();
after(() => tokens[Symbol.dispose]());
writeTinyBase(tokens.join('tiny'));
/** Any one: a teacher on the base that learns reads the same ids. */
const tokenizer = openTokenizer(tokens.join('tiny'));
for (const { name, base: own, compiled } of loadPeftCases(bases)) {
  test(`a teacher by ${name}: no different from itself, and from the base it is`, () => {
    const adapter = join(GOLDEN, 'peft', 'methods', name);
    const open = { name: own.name, path: '', digest: 'own', packedDirectory: '', format: own.format };
    const teacher = openTeacher({ base: open, adapter }, { open, base: own, tokenizer }, loadNativeKernels());
    const g = new Inference(own.kernels, new BufferPool());
    const config = { name: 'distillation', teacher: 'own', temperature: 2, teacherShare: 1 } as const;
    const objective = distillationObjective(config, teacher, g);
    const batch = objective.pack(
      golden.batches[0].map(({ tokenIds, lossWeights }) => {
        return { tokenIds: Int32Array.from(tokenIds), lossWeights: Float32Array.from(lossWeights) };
      }),
    );
    const divergence = (hooks: SiteHooks): number =>
      evaluateStep(g, own, hooks, batch, objective).metrics['divergence'].sum / batch.weightSum;
    assert.ok(Math.abs(divergence(passHooks(compiled, own))) < 1e-6, 'itself');
    assert.ok(divergence(baseHooks) > 1e-5, 'the base');
  });
}

test('a classifier is no teacher', () => {
  const open = { name: 'tiny', path: '', digest: 'own', packedDirectory: '', format: base.format };
  const source = { base: open, adapter: join(GOLDEN, 'peft', 'classifier-ia3', 'final') };
  const refused = { code: 'CONFIG_INVALID', param: 'teacher', message: /gives labels, not tokens/ };
  assert.throws(() => openTeacher(source, { open, base, tokenizer }, loadNativeKernels()), refused);
});

test(
  'train --objective distillation learns from an adapter, and from another base with the same tokens',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    const home = folder.join('home');
    writeTinyBase(folder.join('tiny'));
    writeTinyBase(folder.join('other'), { seed: 5 });
    writeRandomAdapter(folder.join('teacher'), tinySites(), { seed: 3, rank: 2, targets: ['q_proj', 'down_proj'] });
    const data = folder.join('train.jsonl');
    writeChats(data, { count: 12, words: 5, seed: 2 });
    const options = ['train', '--base', folder.join('tiny'), '--data', data, '--max-steps', '4', '--valid-share', '0'];
    const distil = [...options, '--objective', 'distillation', '--learning-rate', '1e-2'];
    const digests: string[] = [];
    for (const teacher of ['teacher', 'other']) {
      const target = folder.join(`from-${teacher}`);
      const taught = [...distil, '--teacher', folder.join(teacher), '--teacher-share', '1', '--output', target];
      const result = await runJson<TrainResult>(taught, { home });
      assert.ok(result.trainLosses[3] < result.trainLosses[0], `${teacher}: ${result.trainLosses.join()}`);
      digests.push(result.digest);
    }
    assert.notEqual(digests[0], digests[1]);
    const missing = await run([...distil, '--output', folder.join('no')], { home });
    assert.match(missing.stderr, /needs a teacher/);
    const foreign = await run([...options, '--teacher', 'x', '--output', folder.join('no')], { home });
    assert.match(foreign.stderr, /--teacher has no meaning for --objective sft/);
  },
);
