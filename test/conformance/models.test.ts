/** Our forward pass against PyTorch's, for each family, from a Hugging Face folder and from GGUF. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { loadBase } from '../../src/model/index.ts';
import { loadNativeKernels, referenceKernels } from '../../src/numeric/index.ts';
import { assertClose, compareToReference } from '../../src/numeric/compare.ts';
import { forwardLogits } from '../support/forward-logits.ts';
import { floatsOf, GOLDEN, readGolden, type GoldenSequence } from './goldens.ts';

const MODELS = ['tiny-llama', 'tiny-llama3', 'tiny-qwen2', 'tiny-qwen3', 'tiny-llama-bias'];
const KERNELS = { native: loadNativeKernels(), reference: referenceKernels() };

for (const model of MODELS) {
  const folder = join(GOLDEN, 'models', model);
  const { sequences } = readGolden<{ sequences: GoldenSequence[] }>('models', model, 'golden.json');
  const ids = sequences.map(({ tokenIds }) => tokenIds);
  const sources = [folder, join(folder, `${model}.gguf`)].filter((path) => existsSync(path));
  describe(model, () => {
    for (const [kernelName, kernels] of Object.entries(KERNELS)) {
      for (const path of sources) {
        const kind = path.endsWith('.gguf') ? 'GGUF' : 'folder';
        test(`${kind}, ${kernelName}: logits of packed sequences are PyTorch's`, () => {
          const base = loadBase(path, model, kernels, 'f32');
          for (const [index, logits] of forwardLogits(base, ids).entries()) {
            assertClose(logits, floatsOf(sequences[index].logits), 'goldenF32', `sequence ${index}`);
          }
        });
      }
    }

    test('the check notices a rotation in the wrong direction', () => {
      const base = loadBase(folder, model, KERNELS.reference, 'f32');
      const { headWidth: E } = base.config;
      const shifted = {
        ...base,
        rope: (n: number) => base.rope(n).map((value, i) => (i % E < E / 2 ? value : -value)),
      };
      const longest = ids.length - 1;
      const [logits] = forwardLogits(shifted, [ids[longest]]);
      assert.equal(compareToReference(logits, floatsOf(sequences[longest].logits), 'goldenF32').passes, false);
    });
  });
}
