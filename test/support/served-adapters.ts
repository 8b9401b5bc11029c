import { BASE_ADAPTER, type CompiledAdapter, type RowPrimitive } from '../../src/adapters/index.ts';
import { Rng } from '../../src/base/index.ts';
import type { ModelConfig } from '../../src/model/index.ts';
import { linearSites } from '../../src/model/index.ts';
import type { Tensor } from '../../src/numeric/index.ts';

/** Adapters as they are served, with random values, of every form that is not a low-rank delta. */

function random(shape: readonly number[], seed: number, stream: string, mean = 0): Tensor {
  const rng = Rng.fromSeed(seed, stream);
  const length = shape.reduce((product, size) => product * size, 1);
  return { shape, data: Float32Array.from({ length }, () => mean + 0.3 * rng.nextNormal()) };
}

/** Virtual tokens by their embeddings. */
export function promptAdapter({ hiddenSize: D }: ModelConfig, count: number, seed: number): CompiledAdapter {
  const embeddings_ND = random([count, D], seed, 'prompt');
  return { ...BASE_ADAPTER, virtual: { kind: 'embeddings', count, embeddings_ND } };
}

/** Virtual tokens by their keys and values. */
export function prefixAdapter(config: ModelConfig, count: number, seed: number): CompiledAdapter {
  const shape = [config.numLayers, count, config.numKeyValueHeads * config.headWidth];
  const [keys_LNK, values_LNK] = [random(shape, seed, 'keys'), random(shape, seed, 'values')];
  return { ...BASE_ADAPTER, virtual: { kind: 'key-values', count, keys_LNK, values_LNK } };
}

/** Trained tokens: every third of the vocabulary, so that prompts and answers have them. */
export function tokenAdapter(config: ModelConfig, isHeadTied: boolean, seed: number): CompiledAdapter {
  const ids = Int32Array.from({ length: Math.floor(config.vocabSize / 3) }, (_, n) => 3 * n + 1);
  return {
    ...BASE_ADAPTER,
    tokenRows: { ids, rows_KD: random([ids.length, config.hiddenSize], seed, 'rows'), isHeadTied },
  };
}

/** A scale of the input, one of the output, and a bias, at every site. */
export function scaleAdapter(config: ModelConfig, seed: number): CompiledAdapter {
  const sites = linearSites(config).map(({ path, in: inputs, out }): [string, RowPrimitive[]] => [
    path,
    [
      { kind: 'scale-input', factor_I: random([inputs], seed, `${path} in`, 1) },
      { kind: 'scale-output', factor_O: random([out], seed, `${path} out`, 1) },
      { kind: 'bias', bias_O: random([out], seed, `${path} bias`) },
    ],
  ]);
  return { ...BASE_ADAPTER, sites: new Map(sites) };
}

/** Every kind of row primitive at every site, as no method has them: whatever comes after another must read what that one wrote. */
export function everyKindAdapter(config: ModelConfig, seed: number): CompiledAdapter {
  const [rank, block] = [3, 8];
  const sites = linearSites(config).map(({ path, in: I, out: O }): [string, RowPrimitive[]] => {
    const tensor = (name: string, shape: readonly number[], mean = 0): Tensor =>
      random(shape, seed, `${path} ${name}`, mean);
    return [
      path,
      [
        { kind: 'scale-input', factor_I: tensor('in', [I], 1) },
        { kind: 'block-rotation', blocks_NBB: tensor('rotation', [I / block, block, block]) },
        { kind: 'low-rank-delta', a_RI: tensor('a', [rank, I]), b_OR: tensor('b', [O, rank]), scale: 0.5 },
        {
          kind: 'scaled-low-rank-delta',
          a_RI: tensor('shared a', [rank, I]),
          b_OR: tensor('shared b', [O, rank]),
          inner_R: tensor('inner', [rank]),
          outer_O: tensor('outer', [O]),
        },
        {
          kind: 'kronecker-delta',
          left_AC: tensor('left', [2, 4]),
          right: [tensor('right', [O / 2, rank]), tensor('right too', [rank, I / 4])],
          scale: 0.5,
        },
        { kind: 'scale-output', factor_O: tensor('out', [O], 1) },
        { kind: 'bias', bias_O: tensor('bias', [O]) },
      ],
    ];
  });
  return { ...BASE_ADAPTER, sites: new Map(sites) };
}
