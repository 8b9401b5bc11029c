import { fail } from '../base/index.ts';
import type { ModelConfig } from '../model/index.ts';
import { memoryFigures } from './machine-doubts.ts';
import type { MachineFigures } from './machine.ts';
import { FULL_RECIPES, isBuffer, totalBytes, trainingMemory } from './memory.ts';
import type { BaseFormat, Trainable } from './methods.ts';
import { formatBytes } from './render.ts';

/** What a run's memory depends on. */
export interface TrainingNeeds {
  readonly format: BaseFormat;
  readonly rank: number;
  /** Tokens of an optimizer step. */
  readonly batchTokens: number;
  /** Tokens of the longest example, which is never cut. */
  readonly longestTokens: number;
}

/** How a run fits a budget. */
export interface TrainingFit {
  /** Tokens of one forward and backward pass, at most. */
  readonly microBatchTokens: number;
  /** Whether a layer's activations are computed again on the way back. */
  readonly recompute: boolean;
  /** What the plan says such a run takes, the program itself included. */
  readonly plannedBytes: number;
  readonly budgetBytes: number;
}

/** Buffers leave gaps between them, of at most an eighth of what they hold. */
const ROUNDING = 1.125;
/** Below this a pass is so small that computing activations again is the better bargain. */
const SMALL_PASS = 256;
/** Micro-batches are multiples of so many tokens. */
const GRAIN = 64;

/**
 * The largest micro-batch with which a run stays within a budget. Activations are kept if that leaves passes of at least 256 tokens (or of the whole
 * batch), since small passes cost less time than computing activations again, which is one more forward pass.
 * @param machine what a process and its buffers were measured to take here, if they were
 * @throws USAGE_INVALID where not even the longest example fits: says how much it takes
 */
export function fitTraining(
  config: ModelConfig,
  trainable: Trainable,
  needs: TrainingNeeds,
  budgetBytes: number,
  machine?: MachineFigures,
): TrainingFit {
  const planned = (tokens: number, recompute: boolean): number =>
    plannedBytes(config, trainable, needs, tokens, recompute, machine);
  const least = Math.max(1, Math.min(needs.longestTokens, needs.batchTokens));
  const largest = (recompute: boolean): number => {
    const sizes = [needs.batchTokens];
    for (let size = Math.floor(needs.batchTokens / GRAIN) * GRAIN; size > least; size -= GRAIN) sizes.push(size);
    // An example that is longer than the micro-batch is one of its own.
    const fits = (size: number): boolean => planned(Math.max(size, needs.longestTokens), recompute) <= budgetBytes;
    return [...sizes, least].find(fits) ?? 0;
  };
  const kept = largest(false);
  const isLarge = kept >= Math.min(needs.batchTokens, Math.max(SMALL_PASS, least));
  const microBatchTokens = isLarge ? kept : largest(true);
  if (microBatchTokens === 0) {
    const needed = planned(needs.longestTokens, true);
    fail(
      'USAGE_INVALID',
      `--memory ${formatBytes(budgetBytes)}: the longest example has ${needs.longestTokens} tokens, with which a run takes ` +
        `${formatBytes(needed)} at least (base in ${needs.format}): give more, shorten the example, or use --method qlora`,
      { param: 'memory' },
    );
  }
  const tokens = Math.max(microBatchTokens, needs.longestTokens);
  return { microBatchTokens, recompute: !isLarge, plannedBytes: planned(tokens, !isLarge), budgetBytes };
}

function plannedBytes(
  config: ModelConfig,
  trainable: Trainable,
  { format, rank }: TrainingNeeds,
  tokens: number,
  recompute: boolean,
  machine: MachineFigures | undefined,
): number {
  const [recipe] = FULL_RECIPES;
  const parts = trainingMemory(config, trainable, { format, rank, recipe, tokens, recompute });
  const { processBytes, bufferFactor } = memoryFigures(machine, { bufferFactor: ROUNDING });
  const buffers = totalBytes(parts.filter(isBuffer));
  // A budget is held: buffers are never taken to be less than what is in them.
  return processBytes + totalBytes(parts) - buffers + Math.max(1, bufferFactor) * buffers;
}
