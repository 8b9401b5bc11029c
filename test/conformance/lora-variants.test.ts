/** LoRA's bias, target_parameters and ensure_weight_tying: what PEFT refuses, what has nothing to train, and what keeps a tied update one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  combineAdapters,
  compileAdapter,
  convertToLora,
  ggufLora,
  loraTargets,
  mlxLora,
  packAdapter,
  spanHooks,
  targetsOf,
  trainableMethodOf,
  type Adapter,
} from '../../src/adapters/index.ts';
import { EspalierError } from '../../src/base/index.ts';
import { parsePeftConfig, type LoraConfig } from '../../src/formats/index.ts';
import { assertBitEqual, assertClose } from '../../src/numeric/compare.ts';
import { BufferPool, type Tensor } from '../../src/numeric/index.ts';
import { TrainingGroup } from '../../src/training/group.ts';
import { loadCheckpoint, saveCheckpoint } from '../../src/training/checkpoint.ts';
import { DEFAULT_OPTIMIZER } from '../../src/training/optimizer.ts';
import { TrainingRun } from '../../src/training/run.ts';
import type { RunConfig } from '../../src/training/run-config.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { loadPeftBases, loadPeftCases, type PeftCase } from '../support/peft-cases.ts';
import { floatsOf } from './goldens.ts';

const BASES = loadPeftBases();
const CASES = loadPeftCases(BASES);
const folder = mkdtempSync(join(tmpdir(), 'espalier-variants-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function caseOf(name: string): PeftCase {
  const found = CASES.find((one) => one.name === name);
  assert.ok(found, name);
  return found;
}

function baseOf(name: 'tiny-llama' | 'tiny-qwen2') {
  const base = BASES.get(name);
  assert.ok(base);
  return base;
}

function loraConfig(fields: Partial<Record<keyof LoraConfig, unknown>>): LoraConfig {
  const config = parsePeftConfig({ peft_type: 'LORA', r: 2, target_modules: ['q_proj'], ...fields }, 'config');
  assert.ok(config.peft_type === 'LORA');
  return config;
}

const says =
  (code: string, ...texts: string[]) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof EspalierError);
    assert.equal(error.code, code, error.message);
    for (const text of texts) assert.ok(error.message.includes(text), error.message);
    return true;
  };

const parametersOf = (config: LoraConfig, name: 'tiny-llama' | 'tiny-qwen2') =>
  trainableMethodOf(config).parameters(config, baseOf(name).sites, baseOf(name).config);

test('settings that PEFT refuses with target_parameters are refused by name', () => {
  for (const fields of [{ lora_dropout: 0.1 }, { lora_bias: true }, { use_dora: true }]) {
    const [name] = Object.keys(fields);
    assert.throws(
      () => loraConfig({ target_modules: [], target_parameters: ['q_proj.weight'], ...fields }),
      says('ADAPTER_INVALID', name, 'target_parameters'),
    );
  }
  assert.throws(() => loraConfig({ target_parameters: 'q_proj.weight' }), says('ADAPTER_INVALID', 'target_parameters'));
  assert.throws(() => loraConfig({ target_modules: [] }), says('ADAPTER_INVALID', 'target_modules'));
});

test('a parameter that is none of the base, or no matrix of a layer, is refused by name', () => {
  const { sites } = baseOf('tiny-qwen2');
  const targets = (names: string[], modules: string[] = []) =>
    loraTargets(loraConfig({ target_modules: modules, target_parameters: names }), sites);
  for (const [names, ...texts] of [
    [['q_proj.weight', 'magic.weight'], 'TARGET_UNMATCHED', '"magic.weight"', 'q_proj.weight'],
    // A part of a name is not its end behind a dot.
    [['proj.weight'], 'TARGET_UNMATCHED', '"proj.weight"'],
    [['mlp.experts.gate_up_proj'], 'CONFIG_INVALID', 'experts', '[E, in, out]'],
    [['q_proj.bias'], 'CONFIG_INVALID', '"q_proj.bias"', 'vector'],
    [['input_layernorm.weight'], 'CONFIG_INVALID', 'vector'],
    [['weight'], 'CONFIG_INVALID', 'vectors'],
    [['lm_head.weight'], 'CONFIG_INVALID', 'lm_head in target_modules'],
    [['model.embed_tokens.weight'], 'CONFIG_INVALID', 'embed_tokens in target_modules'],
  ] as const) {
    assert.throws(() => targets([...names]), says(...(texts as unknown as [string, ...string[]])));
  }
  assert.throws(
    () => targets(['self_attn.q_proj.weight'], ['q_proj']),
    says('CONFIG_INVALID', 'target twice', 'model.layers.0.self_attn.q_proj'),
  );
  const paths = ({ linear }: { linear: readonly { path: string }[] }): string[] => linear.map(({ path }) => path);
  // The base's order, modules and parameters mixed; two names of one parameter are one target.
  assert.deepEqual(paths(targets(['k_proj.weight', 'model.layers.0.self_attn.k_proj.weight'], ['q_proj'])), [
    'model.layers.0.self_attn.q_proj',
    'model.layers.0.self_attn.k_proj',
    'model.layers.1.self_attn.q_proj',
    'model.layers.1.self_attn.k_proj',
  ]);
  // Exclusions and layers choose among modules only, as in PEFT.
  const excluded = loraConfig({
    target_modules: ['v_proj'],
    target_parameters: ['q_proj.weight'],
    exclude_modules: ['q_proj', 'layers.0.self_attn.v_proj'],
  });
  assert.deepEqual(paths(loraTargets(excluded, sites)), [
    'model.layers.0.self_attn.q_proj',
    'model.layers.1.self_attn.q_proj',
    'model.layers.1.self_attn.v_proj',
  ]);
});

test('biases that are not there are not trained in silence', () => {
  const message = ['bias is', 'none to train'];
  for (const bias of ['all', 'lora_only']) {
    assert.throws(
      () => parametersOf(loraConfig({ bias }), 'tiny-llama'),
      says('CONFIG_INVALID', ...message, 'no linear layer of this base has a bias'),
    );
  }
  const mlp = loraConfig({ bias: 'lora_only', target_modules: ['down_proj'] });
  assert.throws(
    () => parametersOf(mlp, 'tiny-qwen2'),
    says('CONFIG_INVALID', ...message, 'biases in q_proj, k_proj, v_proj only'),
  );
  // As a DoRA too, and `all` needs no target that has one.
  assert.throws(() => parametersOf({ ...mlp, use_dora: true }, 'tiny-qwen2'), says('CONFIG_INVALID', ...message));
  const biases = parametersOf({ ...mlp, bias: 'all' }, 'tiny-qwen2').filter(({ name }) => name.endsWith('.bias'));
  assert.equal(biases.length, 6);
});

test('an adapter changes the layers whose bias alone is trained', () => {
  const { adapter, base, compiled } = caseOf('lora-bias-all');
  const roles = new Set(targetsOf(adapter.config, base.sites).map(({ role }) => role));
  assert.deepEqual([...roles].toSorted(), ['k_proj', 'o_proj', 'q_proj', 'v_proj']);
  const ofKeys = compiled.sites.get('model.layers.0.self_attn.k_proj');
  assert.deepEqual(
    ofKeys?.map(({ kind }) => kind),
    ['bias'],
  );
  // Packed for serving: the same bits, and no primitive is left over.
  const packed = packAdapter(compiled, base);
  assert.equal(packed.sites.size, 0);
  const ids = [5, 1, 8, 2, 9];
  const [plain, again] = [compiled, packed].map(
    (one) => forwardLogits(base, [ids], spanHooks([{ begin: 0, end: ids.length, adapter: one }]))[0],
  );
  assertBitEqual(again, plain, 'packed');
  // The base's own bias is no change: the layer stays out.
  const name = 'base_model.model.model.layers.0.self_attn.k_proj.bias';
  const { bias } = base.layers[0].linear.k_proj;
  assert.ok(bias);
  const same = { config: adapter.config, tensors: new Map([...adapter.tensors, [name, bias]]) };
  assert.equal(compileAdapter(same, base).sites.has('model.layers.0.self_attn.k_proj'), false);
});

test('trained biases are converted and combined exactly, and refused where a form has none', () => {
  const { adapter, base, golden } = caseOf('lora-bias-all');
  const part = { adapter, weight: 1, what: 'it' };
  const converted: Adapter[] = [
    convertToLora(adapter, base, { rank: 2 }, 'it').adapter,
    combineAdapters([part], { type: 'cat' }, base),
  ];
  for (const one of converted) {
    for (const { tokenIds, logits } of golden.sequences) {
      const span = { begin: 0, end: tokenIds.length, adapter: compileAdapter(one, base) };
      assertClose(forwardLogits(base, [tokenIds], spanHooks([span]))[0], floatsOf(logits), 'goldenF32', 'converted');
    }
  }
  assert.throws(() => combineAdapters([part], { type: 'linear' }, base), says('ADAPTER_INVALID', 'changes biases'));
  assert.throws(() => ggufLora(adapter, base, 'it'), says('ADAPTER_INVALID', 'biases of the base'));
  assert.throws(() => mlxLora(adapter, base), says('ADAPTER_INVALID', 'biases of the base'));
  const { adapter: parameters, base: llama } = caseOf('lora-parameters');
  assert.equal(ggufLora(parameters, llama, 'it').tensors.size, 8);
});

test('a tied head that is not the embedding’s transpose is refused by name', () => {
  const { adapter, base } = caseOf('lora-tied');
  const name = 'base_model.model.lm_head.lora_B.weight';
  const { shape, data } = adapter.tensors.get(name) as Tensor;
  const other = { shape, data: data.slice() };
  other.data[3] = other.data[3] + 1;
  const changed = { config: adapter.config, tensors: new Map([...adapter.tensors, [name, other]]) };
  assert.throws(() => compileAdapter(changed, base), says('ADAPTER_INVALID', name, 'lora_embedding_A'));
});

const TIED = loraConfig({ target_modules: ['embed_tokens', 'q_proj'], ensure_weight_tying: true });

/** A run on tiny-qwen2 of a few steps. */
function shortRun(more: Partial<RunConfig> = {}): TrainingRun {
  const base = baseOf('tiny-qwen2');
  const train = Array.from({ length: 6 }, (_, n) => ({
    tokenIds: Int32Array.from({ length: 9 }, (_none, i) => (7 * n + 5 * i) % base.config.vocabSize),
    lossWeights: new Float32Array(9).fill(1, 3),
  }));
  const config: RunConfig = {
    adapter: TIED,
    maxSteps: 6,
    epochs: 1,
    batchTokens: 18,
    microBatchTokens: 18,
    learningRate: 1e-2,
    schedule: 'constant',
    warmup: 0,
    seed: 5,
    optimizer: { ...DEFAULT_OPTIMIZER, weightDecay: 0.1 },
    evaluateEverySteps: 100,
    ...more,
  };
  return new TrainingRun(base, { train, valid: [] }, config);
}

function assertTied(run: TrainingRun): void {
  const values = new Map(run.parameters.map(({ name, value }) => [name.replace('base_model.model.', ''), value]));
  for (const [one, other] of [
    ['model.embed_tokens.lora_embedding_A', 'lm_head.lora_B.weight'],
    ['model.embed_tokens.lora_embedding_B', 'lm_head.lora_A.weight'],
  ]) {
    const [of, turned] = [values.get(one), values.get(other)];
    assert.ok(of && turned);
    const [M, N] = of.shape as [number, number];
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) assert.equal(of.data[m * N + n], turned.data[n * M + m], `${one} ${m} ${n}`);
    }
  }
}

test('a tied update begins as one, stays one, and a resumed run ends in the same bytes', () => {
  const whole = shortRun();
  assertTied(whole);
  assert.ok(
    whole.parameters.find(({ name }) => name.endsWith('lm_head.lora_A.weight'))?.value.data.some((v) => v !== 0),
  );
  while (!whole.isDone) assert.equal(whole.step().metrics['penalty'], undefined);
  assertTied(whole);
  const first = shortRun();
  for (let step = 0; step < 3; step++) first.step();
  const path = join(folder, 'checkpoint.safetensors');
  const identity = { base: 'b', train: 't', valid: null, config: first.config };
  saveCheckpoint(path, first, identity);
  const resumed = shortRun();
  loadCheckpoint(path, resumed, identity);
  while (!resumed.isDone) resumed.step();
  for (const [index, { name, value }] of whole.parameters.entries())
    assert.deepEqual(resumed.parameters[index].value.data, value.data, name);
});

test('a tied update is not trained by halves', () => {
  assert.throws(
    () => shortRun({ lora: { freezeA: true } }),
    says('CONFIG_INVALID', 'ensure_weight_tying', '--freeze-a'),
  );
});

test('runs that train biases end in the bytes that they have alone in a group, and with activations computed again', () => {
  // The first two share the base's product.
  const adapters = [
    loraConfig({ bias: 'all', lora_dropout: 0.2 }),
    loraConfig({ target_modules: [], target_parameters: ['k_proj.weight'], bias: 'all' }),
    loraConfig({ bias: 'lora_only', target_modules: ['v_proj', 'up_proj'], use_dora: true }),
  ];
  const group = new TrainingGroup(baseOf('tiny-qwen2'), new BufferPool(), 512);
  const grouped = adapters.map((adapter, index) => {
    const run = shortRun({ adapter, seed: index });
    group.add(String(index), run);
    return run;
  });
  while (group.size > 0) for (const event of group.pass()) assert.notEqual(event.type, 'failed');
  for (const [index, adapter] of adapters.entries()) {
    const alone = [false, true].map((recompute) => shortRun({ adapter, seed: index, ...(recompute && { recompute }) }));
    for (const run of alone) {
      while (!run.isDone) run.step();
      for (const [at, { name, value }] of run.parameters.entries())
        assert.deepEqual(grouped[index].parameters[at].value.data, value.data, `${index} ${name}`);
    }
  }
});

test('what of a tied base is not as it seems is said', () => {
  const said = (fields: Partial<Record<keyof LoraConfig, unknown>>, name: 'tiny-llama' | 'tiny-qwen2'): string => {
    const config = loraConfig(fields);
    return (trainableMethodOf(config).warnings?.(config, baseOf(name).sites, baseOf(name).config) ?? []).join('\n');
  };
  const embedding = ['embed_tokens', 'q_proj'];
  assert.match(said({ target_modules: embedding }, 'tiny-qwen2'), /head of this base is its embedding/);
  assert.match(said({ target_modules: ['lm_head'] }, 'tiny-qwen2'), /apart/);
  assert.match(said({ modules_to_save: ['lm_head'], use_dora: true }, 'tiny-qwen2'), /apart/);
  assert.equal(said({ target_modules: embedding }, 'tiny-llama'), '');
  assert.equal(said({ target_modules: embedding, ensure_weight_tying: true }, 'tiny-qwen2'), '');
  assert.match(said({ target_modules: embedding, ensure_weight_tying: true }, 'tiny-llama'), /matrix of its own/);
  assert.match(said({ ensure_weight_tying: true }, 'tiny-qwen2'), /neither the embedding nor the head/);
  assert.equal(said({}, 'tiny-qwen2'), '');
});
