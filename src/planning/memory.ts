import type { ModelConfig } from '../model/index.ts';
import type { BaseFormat, Trainable } from './methods.ts';
import { countParameters } from './parameters.ts';

/** One part of a bill: how many bytes, and why that many. */
export interface Part {
  readonly part: string;
  readonly bytes: number;
  readonly how: string;
}

/** What a training process takes beside weights and buffers, where nobody has measured it: the runtime, the program, a kernel's own buffers. */
export const PROCESS_BYTES = 160 * 2 ** 20;

/** Parts that the pool of buffers holds, which rounds their sizes up. */
export const isBuffer = ({ part }: Part): boolean => part === 'activations' || part === 'working set';

export const totalBytes = (parts: readonly Part[]): number => parts.reduce((sum, { bytes }) => sum + bytes, 0);

/**
 * NF4 in memory: 4 bits, and the magnitude of each 64 weights as the float32 that it stands for. (Files hold it in 8 bits, QLoRA's 0.516 bytes a
 * weight.)
 */
const NF4_BYTES = 0.5 + 4 / 64;

/** Weights in memory. int8 and NF4 hold for the linear layers; embedding, head, norms and biases stay in bf16. */
export function weightBytes(config: ModelConfig, format: BaseFormat): number {
  const { total, linear } = countParameters(config);
  switch (format) {
    case 'f32':
      return total * 4;
    case 'bf16':
      return total * 2;
    case 'int8':
      return linear + int8ScaleBytes(config) + (total - linear) * 2;
    case 'nf4':
      return linear * NF4_BYTES + (total - linear) * 2;
  }
}

/** One float32 scale for each output row of each linear layer. */
function int8ScaleBytes(config: ModelConfig): number {
  const { hiddenSize: D, intermediateSize: F, headWidth: E, numHeads: H, numKeyValueHeads: G } = config;
  return config.numLayers * ((H + 2 * G) * E + D + 2 * F + D) * 4;
}

/** How the state of full fine-tuning is kept: bytes for each parameter. */
export interface FullRecipe {
  readonly name: string;
  readonly weightBytes: number;
  readonly gradientBytes: number;
  readonly momentBytes: number;
  readonly masterBytes: number;
}

/** From the leanest to the classic one (ZeRO: Rajbhandari et al., 2020, counts 16 bytes for each parameter). */
export const FULL_RECIPES = [
  { name: '8-bit moments', weightBytes: 2, gradientBytes: 2, momentBytes: 2, masterBytes: 0 },
  { name: 'bf16 moments', weightBytes: 2, gradientBytes: 2, momentBytes: 4, masterBytes: 0 },
  { name: 'f32 moments', weightBytes: 2, gradientBytes: 2, momentBytes: 8, masterBytes: 0 },
  { name: 'f32 moments and master weights', weightBytes: 2, gradientBytes: 2, momentBytes: 8, masterBytes: 4 },
  // What `espalier train --method full` holds.
  { name: 'all f32 (espalier train)', weightBytes: 4, gradientBytes: 4, momentBytes: 8, masterBytes: 0 },
] as const satisfies readonly FullRecipe[];

export type FullRecipeName = (typeof FULL_RECIPES)[number]['name'];

/** Weights, gradients and Adam's two moments of a full fine-tuning, without activations. */
export function fullStateBytes(parameters: number, recipe: FullRecipe): number {
  return parameters * (recipe.weightBytes + recipe.gradientBytes + recipe.momentBytes + recipe.masterBytes);
}

/** The fused loss works on a third of its rows at a time, or on so many; and on so many bytes of logits at most (the native kernel `cross_entropy`). */
const LOSS_CHUNK_ROWS = 64;
const LOSS_CHUNK_BYTES = 32 * 2 ** 20;

/**
 * Float32 numbers that are kept from the forward pass for the backward pass, for each token of each layer, without
 * recomputation: the two residual streams, q, k, v (before their norms too, where they have some) and attention's output with one number
 * a head, gate and up; and, where
 * an adapter (or full fine-tuning) needs a site's input, that input and the low-rank product.
 */
export function savedPerTokenLayer(config: ModelConfig, trainable: Trainable, rank: number): number {
  const { hiddenSize: D, intermediateSize: F, headWidth: E, numHeads: H, numKeyValueHeads: G } = config;
  const isFull = trainable.isFull ?? false;
  const needs = (...roles: string[]): number =>
    isFull || roles.some((role) => trainable.roles.includes(role)) ? 1 : 0;
  const headNorms = config.queryKeyNorm ? (H + G) * (E + 1) : 0;
  const always = 2 * (D + 1) + (H + 2 * G) * E + headNorms + H * E + H + 2 * F;
  const inputs = needs('q_proj', 'k_proj', 'v_proj') * D + needs('gate_proj', 'up_proj') * D + needs('down_proj') * F;
  return always + inputs + trainable.roles.length * rank;
}

export interface TrainingLoad {
  readonly format: BaseFormat;
  readonly rank: number;
  readonly recipe: FullRecipe;
  /** Tokens of one step: sequences times tokens of each. */
  readonly tokens: number;
  /** Each layer keeps its input alone and is computed again on the way back. */
  readonly recompute?: boolean | undefined;
}

/** Memory of a training step by part. */
export function trainingMemory(config: ModelConfig, trainable: Trainable, load: TrainingLoad): Part[] {
  const { tokens, recipe, format } = load;
  const isFull = trainable.isFull ?? false;
  const n = trainable.parameters;
  const saved = savedPerTokenLayer(config, trainable, load.rank);
  const mostRows = Math.max(1, Math.floor(LOSS_CHUNK_BYTES / 4 / config.vocabSize));
  const logitRows = Math.min(tokens, mostRows, Math.max(LOSS_CHUNK_ROWS, Math.ceil(tokens / 3)));
  const { hiddenSize: D, intermediateSize: F } = config;
  const keptNumbers = load.recompute ? saved + D * config.numLayers : saved * config.numLayers;
  const state: Part[] = isFull
    ? [
        {
          part: 'weights',
          bytes: n * recipe.weightBytes,
          how: `${recipe.weightBytes === 4 ? 'f32' : 'bf16'}, trained`,
        },
        { part: 'gradients', bytes: n * recipe.gradientBytes, how: `${recipe.gradientBytes} bytes a parameter` },
        {
          part: 'optimizer',
          bytes: n * recipe.momentBytes,
          how: `two moments of Adam, ${recipe.momentBytes} bytes together`,
        },
        { part: 'master weights', bytes: n * recipe.masterBytes, how: `${recipe.masterBytes} bytes a parameter` },
      ]
    : [
        { part: 'base weights', bytes: weightBytes(config, format), how: `${format}, frozen, no gradient` },
        { part: 'adapter', bytes: n * 4, how: 'f32' },
        { part: 'gradients', bytes: n * 4, how: 'f32, of the adapter only' },
        { part: 'optimizer', bytes: n * 8, how: 'two f32 moments of Adam' },
      ];
  return [
    ...state,
    {
      part: 'activations',
      bytes: keptNumbers * tokens * 4,
      how: load.recompute
        ? `${saved} f32 numbers a token of one layer and the input of each, ${tokens} tokens`
        : `${saved} f32 numbers a token and layer, ${tokens} tokens, nothing recomputed`,
    },
    {
      part: 'working set',
      bytes: (2 * D + 3 * F) * tokens * 4,
      how: "one block's gradients in the backward pass, f32",
    },
    {
      part: 'logits',
      bytes: logitRows * config.vocabSize * 4,
      how: `the loss holds ${logitRows} rows at a time, f32`,
    },
    {
      part: 'dense copies',
      bytes: (trainable.copied ?? 0) * 4,
      how: 'of the adapted layers, for their norms, f32, until they are collected',
    },
  ].filter((part) => part.bytes > 0);
}

export type KvFormat = 'f32' | 'bf16';

/** Keys and values of one token over all layers. */
export function kvBytesPerToken(config: ModelConfig, format: KvFormat): number {
  return 2 * config.numLayers * config.numKeyValueHeads * config.headWidth * (format === 'f32' ? 4 : 2);
}

export interface ServingLoad {
  readonly format: BaseFormat;
  readonly kvFormat: KvFormat;
  readonly residentAdapters: number;
  readonly adapterBytes: number;
  readonly sequences: number;
  readonly tokensEach: number;
  /** Tokens at the start of every sequence that are the same and are held once. */
  readonly sharedPrefix: number;
}

/** Memory of a server that holds the base once, by part. */
export function servingMemory(config: ModelConfig, load: ServingLoad): Part[] {
  const perToken = kvBytesPerToken(config, load.kvFormat);
  const own = load.tokensEach - load.sharedPrefix;
  return [
    { part: 'base weights', bytes: weightBytes(config, load.format), how: `${load.format}, once for all adapters` },
    {
      part: 'adapters',
      bytes: load.residentAdapters * load.adapterBytes,
      how: `${load.residentAdapters} resident`,
    },
    {
      part: 'KV cache',
      bytes: load.sequences * own * perToken,
      how: `${load.sequences} sequences of ${own} tokens, ${perToken} bytes a token (${load.kvFormat})`,
    },
    { part: 'shared prefix', bytes: load.sharedPrefix * perToken, how: `${load.sharedPrefix} tokens, held once` },
  ].filter((part) => part.bytes > 0);
}
