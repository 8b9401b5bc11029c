/** The real base, SmolLM2-135M-Instruct, as it is downloaded: the command answers with it, and its logits are Hugging Face's. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { baseHooks, loadBase, type BaseModel } from '../../src/model/index.ts';
import { assertClose, compareToReference } from '../../src/numeric/compare.ts';
import { loadNativeKernels } from '../../src/numeric/index.ts';
import { smolBase, type SmolBase } from '../support/base-model.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { runJson } from '../support/processes.ts';

interface RealGolden {
  readonly prompts: readonly {
    readonly text: string;
    readonly tokenIds: readonly number[];
    /** The 20 largest logits of the last position. */
    readonly topIds: readonly number[];
    readonly topLogits: readonly number[];
    /** Of all logits, for each position. */
    readonly sumOfSquares: readonly number[];
    readonly meanNll: number;
  }[];
}

const { prompts } = JSON.parse(
  readFileSync(new URL('../golden/peft/smollm2.json', import.meta.url), 'utf8'),
) as RealGolden;

let smol: SmolBase;
let base: BaseModel;
before(async () => {
  smol = await smolBase();
  // Weights as the golden has them: dequantised, and not rounded again.
  base = loadBase(smol.path, smol.name, loadNativeKernels(), 'f32');
});

test('the command answers with it', async () => {
  const asked = ['--prompt', 'What is the capital of France?', '--max-tokens', '12'];
  interface Answer {
    readonly text: string;
    readonly promptTokens: number;
  }
  const answer = await runJson<Answer>(['generate', '--base', smol.name, ...asked], { home: smol.home, threads: 2 });
  assert.match(answer.text, /Paris/);
  assert.ok(answer.promptTokens > 10, 'the chat template is applied');
});

for (const [index, golden] of prompts.entries()) {
  test(`logits of ${golden.tokenIds.length} tokens (${JSON.stringify(golden.text.slice(0, 24))}…) are Hugging Face’s`, () => {
    const [logits] = forwardLogits(base, [golden.tokenIds], baseHooks);
    const V = base.config.vocabSize;
    const row = (position: number): ArrayLike<number> => logits.subarray(position * V, (position + 1) * V);
    const last = Array.from(row(golden.tokenIds.length - 1));
    const ranked = last.map((_, id) => id).sort((a, b) => last[b] - last[a] || a - b);
    assert.deepEqual(ranked.slice(0, golden.topIds.length), golden.topIds);
    assertClose(
      golden.topIds.map((id) => last[id]),
      golden.topLogits,
      'goldenF32',
      'the largest logits',
    );
    const squares = golden.tokenIds.map((_, position) => sumOf(row(position), (value) => value * value));
    assertClose(squares, golden.sumOfSquares, 'goldenF32', 'sums of squares of every position');
    assertClose([meanNll(golden.tokenIds, row)], [golden.meanNll], 'goldenF32', 'mean negative log-likelihood');
    // Another prompt's figures would not pass.
    const other = prompts[(index + 1) % prompts.length];
    assert.equal(compareToReference([meanNll(golden.tokenIds, row)], [other.meanNll], 'goldenF32').passes, false);
  });
}

function sumOf(values: ArrayLike<number>, f: (value: number) => number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += f(values[i]);
  return sum;
}

/** Of each token but the first, given those before it. */
function meanNll(tokenIds: readonly number[], row: (position: number) => ArrayLike<number>): number {
  let sum = 0;
  for (let position = 0; position + 1 < tokenIds.length; position++) {
    const logits = row(position);
    const max = Array.from(logits).reduce((a, b) => Math.max(a, b));
    sum += max + Math.log(sumOf(logits, (value) => Math.exp(value - max))) - logits[tokenIds[position + 1]];
  }
  return sum / (tokenIds.length - 1);
}
