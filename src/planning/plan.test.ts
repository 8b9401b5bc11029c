import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainableMethodOf } from '../adapters/index.ts';
import { EspalierError } from '../base/index.ts';
import { parsePeftConfig } from '../formats/index.ts';
import { linearSites } from '../model/index.ts';
import { savedPerTokenLayer, totalBytes, weightBytes } from './memory.ts';
import { countTrainable } from './methods.ts';
import { countParameters } from './parameters.ts';
import { planFrom } from './plan.ts';
import type { Plan, PlanOptions } from './plan.ts';
import { configuredModel, presetModel } from './presets.ts';
import { formatBytes, formatCount, formatDuration, renderPlan } from './render.ts';

const smol = presetModel('smollm2-135m');
const plan = (options: Omit<PlanOptions, 'model'> = {}): Plan => planFrom({ model: smol, ...options });
const bytesOf = (parts: Plan['training']['parts'], name: string): number =>
  parts.find(({ part }) => part === name)?.bytes ?? 0;

test('counts Qwen configs: biases of q, k and v in Qwen2, head norms and their own head width in Qwen3', () => {
  const qwen2 = configuredModel(
    {
      model_type: 'qwen2',
      vocab_size: 151_936,
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      tie_word_embeddings: true,
    },
    'config.json',
  );
  assert.equal(countParameters(qwen2.config).total, 494_032_768, 'Qwen2.5-0.5B');
  const qwen3 = configuredModel(
    {
      model_type: 'qwen3',
      vocab_size: 151_936,
      hidden_size: 1024,
      intermediate_size: 3072,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 128,
      tie_word_embeddings: true,
    },
    'config.json',
  );
  assert.equal(countParameters(qwen3.config).total, 596_049_920, 'Qwen3-0.6B');
});

test("the plan's trainable parameters are those that the method makes", () => {
  const sites = linearSites(smol.config);
  const fields = { r: 5, target_modules: ['q_proj', 'down_proj'] };
  const { r: _none, ...withoutRank } = fields;
  const configs = {
    lora: { peft_type: 'LORA', ...fields },
    dora: { peft_type: 'LORA', use_dora: true, ...fields },
    adalora: { peft_type: 'ADALORA', ...withoutRank, target_r: 6, init_r: 9, total_step: 10 },
    ia3: { peft_type: 'IA3', feedforward_modules: ['down_proj'], ...withoutRank },
    vera: { peft_type: 'VERA', ...fields },
    loha: { peft_type: 'LOHA', ...fields },
    lokr: { peft_type: 'LOKR', ...fields },
    oft: { peft_type: 'OFT', ...withoutRank, oft_block_size: 8, use_cayley_neumann: false },
    boft: { peft_type: 'BOFT', ...withoutRank, boft_block_size: 8 },
    hra: { peft_type: 'HRA', ...fields, r: 8 },
    miss: { peft_type: 'MISS', ...fields },
    fourierft: { peft_type: 'FOURIERFT', ...withoutRank, n_frequency: 5 },
    randlora: { peft_type: 'RANDLORA', ...fields },
    vblora: { peft_type: 'VBLORA', ...fields, vector_length: 64 },
  };
  // What the plan calls the rank where it is not 5.
  const ranks: Readonly<Record<string, number>> = { oft: 8, boft: 8, hra: 8, adalora: 6 };
  for (const [name, json] of Object.entries(configs)) {
    const config = parsePeftConfig(json, name);
    const trained = trainableMethodOf(config)
      .parameters(config, sites, smol.config)
      .filter(({ isFrozen }) => !isFrozen);
    const made = trained.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    assert.equal(countTrainable(smol.config, name, ranks[name] ?? 5, 'q_proj,down_proj').parameters, made, name);
  }
});

test('methods without linear layers are counted as they are trained', () => {
  const { hiddenSize, numLayers, numHeads, numKeyValueHeads, headWidth } = smol.config;
  const sizes = { token_dim: hiddenSize, num_layers: numLayers, num_attention_heads: numHeads, num_virtual_tokens: 7 };
  const keys = { ...sizes, token_dim: numKeyValueHeads * headWidth, num_attention_heads: numKeyValueHeads };
  const configs = {
    'prompt-tuning': { peft_type: 'PROMPT_TUNING', ...sizes },
    'p-tuning': { peft_type: 'P_TUNING', ...sizes, encoder_hidden_size: hiddenSize },
    'prefix-tuning': { peft_type: 'PREFIX_TUNING', ...keys },
    'trainable-tokens': { peft_type: 'TRAINABLE_TOKENS', token_indices: [4, 5, 6] },
    'ln-tuning': { peft_type: 'LN_TUNING', target_modules: ['input_layernorm', 'post_attention_layernorm', 'norm'] },
  };
  for (const [name, json] of Object.entries(configs)) {
    const config = parsePeftConfig(json, name);
    const specs = trainableMethodOf(config).parameters(config, linearSites(smol.config), smol.config);
    const made = specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const planned = planFrom({ model: smol, method: name, virtualTokens: 7, trainedTokens: 3 });
    assert.equal(planned.trainable.parameters, made, name);
    // The base is not trained: its weights are there once, frozen.
    assert.ok(planned.training.parts.some(({ part }) => part === 'base weights'));
    const stored = name === 'p-tuning' ? 7 * hiddenSize : made;
    assert.equal(planned.trainable.adapterBytes, 4 * stored, name);
  }
});

test('a classification head has a row for each label', () => {
  const without = planFrom({ model: smol, method: 'lora' }).trainable;
  const { trainable } = planFrom({ model: smol, method: 'lora', labels: 77 });
  assert.equal(trainable.parameters - without.parameters, 77 * smol.config.hiddenSize);
  assert.equal(trainable.adapterBytes - without.adapterBytes, 4 * 77 * smol.config.hiddenSize);
  const ofPrompt = (labels?: number) =>
    planFrom({ model: smol, method: 'p-tuning', ...(labels && { labels }) }).trainable;
  for (const count of ['parameters', 'adapterBytes'] as const) {
    const each = count === 'parameters' ? 1 : 4;
    assert.equal(ofPrompt(9)[count] - ofPrompt()[count], each * 9 * smol.config.hiddenSize);
  }
  for (const method of ['prefix-tuning', 'full', 'trainable-tokens']) {
    assert.throws(() => planFrom({ model: smol, method, labels: 2 }), { code: 'USAGE_INVALID', param: 'labels' });
  }
});

test('every total is the sum of its parts, and every part is positive', () => {
  for (const method of ['lora', 'qlora', 'full']) {
    const { training, serving } = plan({ method, adapters: 3, sharedPrefix: 100 });
    for (const bill of [training, serving]) {
      assert.equal(bill.totalBytes, totalBytes(bill.parts));
      for (const part of bill.parts) assert.ok(part.bytes > 0, part.part);
    }
  }
});

test('a frozen base has neither gradients nor moments, whatever the rank', () => {
  const { training, trainable } = plan({ rank: 8 });
  assert.equal(bytesOf(training.parts, 'gradients'), trainable.parameters * 4);
  assert.equal(bytesOf(training.parts, 'optimizer'), trainable.parameters * 8);
  const full = plan({ method: 'full' }).training;
  assert.equal(bytesOf(full.parts, 'gradients'), countParameters(smol.config).total * 2);
});

test('activations grow with tokens and with the sites that need their input, not with the vocabulary', () => {
  const activations = (options: Omit<PlanOptions, 'model'>): number =>
    bytesOf(plan(options).training.parts, 'activations');
  assert.equal(activations({ batch: 16 }), 2 * activations({ batch: 8 }));
  assert.ok(activations({ targets: 'attention' }) < activations({ targets: 'all-linear' }));
  assert.equal(bytesOf(plan({ batch: 64 }).training.parts, 'logits'), 170 * smol.config.vocabSize * 4);
  assert.equal(bytesOf(plan({ batch: 1, seq: 100 }).training.parts, 'logits'), 64 * smol.config.vocabSize * 4);
  assert.equal(bytesOf(plan({ batch: 1, seq: 3 }).training.parts, 'logits'), 3 * smol.config.vocabSize * 4);
});

test('DoRA copies each adapted layer for its norms, LoRA none', () => {
  const copies = (method: string): number =>
    bytesOf(plan({ method, targets: 'q_proj,k_proj' }).training.parts, 'dense copies');
  assert.equal(copies('dora'), 30 * (576 + 192) * 576 * 4);
  assert.equal(copies('lora'), 0);
});

test('what a layer keeps for the way back, counted by hand for SmolLM2-135M', () => {
  const saved = (targets: string): number =>
    savedPerTokenLayer(smol.config, countTrainable(smol.config, 'lora', 8, targets), 8);
  const always = 2 * (576 + 1) + (9 + 2 * 3) * 64 + 576 + 9 + 2 * 1536;
  assert.equal(saved('attention'), always + 576 + 4 * 8, 'the input of q, k and v; four low-rank products');
  assert.equal(saved('mlp'), always + 576 + 1536 + 3 * 8, 'the inputs of gate and up, and of down; three products');
  assert.equal(saved('o_proj'), always + 8, "attention's output is kept anyway");
});

test('int8 weights take half of the linear layers and a scale a row; the rest stays in 16 bit', () => {
  const { linear, total } = countParameters(smol.config);
  const numRows = 30 * (576 + 192 + 192 + 576 + 1536 + 1536 + 576);
  assert.equal(weightBytes(smol.config, 'int8'), linear + numRows * 4 + (total - linear) * 2);
});

test('a server holds the base once, adapters by their number, and a shared prefix once', () => {
  const one = plan({ adapters: 1, batch: 4, seq: 100 }).serving;
  const many = plan({ adapters: 100, batch: 4, seq: 100 }).serving;
  const prefixed = plan({ adapters: 1, batch: 4, seq: 100, sharedPrefix: 60 }).serving;
  assert.equal(bytesOf(one.parts, 'base weights'), bytesOf(many.parts, 'base weights'));
  assert.equal(bytesOf(many.parts, 'adapters'), 100 * bytesOf(one.parts, 'adapters'));
  const perToken = bytesOf(one.parts, 'KV cache') / 400;
  assert.equal(one.totalBytes - prefixed.totalBytes, 3 * 60 * perToken);
});

test('a frozen base costs a third less time than training it', () => {
  const lora = plan({ trainTokens: 1000, gigaflopsPerSecond: 100 }).time;
  const full = plan({ method: 'full', trainTokens: 1000, gigaflopsPerSecond: 100 }).time;
  assert.ok(lora.seconds > (full.seconds * 2) / 3 && lora.seconds < full.seconds * 0.72);
  const weights = countParameters(smol.config).linear + smol.config.vocabSize * smol.config.hiddenSize;
  assert.ok(full.flopsPerToken.forward > 2 * weights && full.flopsPerToken.forward < 2.1 * weights);
  assert.equal(plan({ trainTokens: 2000, gigaflopsPerSecond: 100 }).time.seconds, 2 * lora.seconds);
});

test('what is wrong with an option is said by name', () => {
  const cases: readonly [Omit<PlanOptions, 'model'>, RegExp][] = [
    [{ rank: 0 }, /rank must be a whole number from 1 to 65536, got 0/],
    [{ rank: 1.5 }, /rank must be/],
    [{ batch: -1 }, /batch must be/],
    [{ seq: Number.NaN }, /seq must be/],
    [
      { method: 'lorra' },
      /no method is called "lorra": use lora, dora, adalora, ia3, .*, qlora, prompt-tuning, .*, ln-tuning, full/,
    ],
    [{ baseFormat: 'fp4' }, /baseFormat must be one of f32, bf16, int8, nf4, got "fp4"/],
    [{ method: 'full', baseFormat: 'nf4' }, /full fine-tuning trains the weights themselves/],
    [{ fullRecipe: 'x' }, /fullRecipe must be one of 8-bit moments,/],
    [{ sharedPrefix: 300 }, /sharedPrefix must be a whole number from 0 to seq \(256\), got 300/],
    [{ gigaflopsPerSecond: 0 }, /gigaflopsPerSecond must be above 0/],
  ];
  for (const [options, message] of cases) {
    assert.throws(
      () => plan(options),
      (error: unknown) =>
        error instanceof EspalierError && error.code === 'USAGE_INVALID' && message.test(error.message),
      JSON.stringify(options),
    );
  }
  assert.throws(() => plan({ targets: 'q_proj,w_proj' }), { code: 'TARGET_UNMATCHED' });
  assert.throws(() => presetModel('9000b'), {
    code: 'MODEL_NOT_FOUND',
    message: /smollm2-135m, 3b, .* or a config\.json/,
  });
  assert.throws(() => presetModel('constructor'), { code: 'MODEL_NOT_FOUND' });
  assert.throws(() => configuredModel({ model_type: 'llama' }, 'config.json'), { code: 'MODEL_INVALID' });
});

test('a plan is plain JSON', () => {
  const made = plan({ adapters: 10 });
  assert.deepEqual(JSON.parse(JSON.stringify(made)), made);
});

test('units have three figures and never print 1000', () => {
  assert.equal(formatBytes(0), '0 B');
  assert.equal(formatBytes(999), '999 B');
  assert.equal(formatBytes(999_600), '1 MB');
  assert.equal(formatBytes(13_476_831_232), '13.5 GB');
  assert.equal(formatBytes(14.11e12), '14.1 TB');
  assert.equal(formatCount(4_587_520), '4.59 M');
  assert.equal(formatCount(12), '12');
  assert.equal(formatDuration(4.2), '4.2 s');
  assert.equal(formatDuration(185), '3 min 5 s');
  assert.equal(formatDuration(7800), '2 h 10 min');
  assert.equal(formatDuration(59.9), '1 min');
});

test('the text shows the figures of the plan, one aligned column of values a section', () => {
  const text = renderPlan(planFrom({ model: presetModel('70b'), adapters: 100, rank: 12, adapterFormat: 'bf16' }));
  for (const figure of ['70.6 B', '141 GB', '98.3 MB', '141 GB + 9.83 GB', '14.1 TB', '564 GB', '4 x the weights']) {
    assert.ok(text.includes(figure), `${figure} in\n${text}`);
  }
  const rows = text.split('\n').filter((line) => line.endsWith('x the weights'));
  assert.equal(rows.length, 5);
  assert.equal(new Set(rows.map((row) => row.search(/[GT]B {2}/))).size, 1, 'values end in one column');
});
