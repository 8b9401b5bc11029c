import { trainableMethodOf, type Adapter } from '../../src/adapters/index.ts';
import type { BaseModel, SiteHooks } from '../../src/model/index.ts';
import { BufferPool, Inference, Tape, type Parameter, type Tensor } from '../../src/numeric/index.ts';
import { applyGradients, clearGradients, zeroMoments } from '../../src/training/optimizer.ts';
import type { Teacher } from '../../src/training/objectives/distillation.ts';
import { parametersOf, withHead } from '../../src/training/objectives/classification.ts';
import { makeObjective } from '../../src/training/objectives/index.ts';
import type { ObjectiveConfig } from '../../src/training/objectives/objective.ts';
import type { PackedBatch, TokenExample } from '../../src/training/pack.ts';
import { trainStep } from '../../src/training/step.ts';

/** The optimizer's settings by the names of `TrainingSettings` in test/peers/reference_training.py. */
export interface ReplaySettings {
  readonly weight_decay: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly max_grad_norm: number;
}

export interface ReplayedStep {
  /** Mean over the step's targets. */
  readonly loss: number;
  readonly gradientNorm: number;
  /** Gradients of the mean loss before clipping, by tensor name; only if `keepsGradients` says so. */
  readonly gradients: ReadonlyMap<string, Float32Array> | undefined;
}

export interface Replay {
  readonly batches: readonly (readonly TokenExample[])[];
  /** One for each step, as the peer's schedule gave them. */
  readonly learningRates: readonly number[];
  readonly settings: ReplaySettings;
  /** Tensors of the adapter that keep their values, beside those that the method freezes. */
  readonly isFrozen?: (name: string) => boolean;
  /** Changes the method's hooks. */
  readonly hooks?: (own: SiteHooks) => SiteHooks;
  readonly rateRatio?: number | undefined;
  /** Default: supervised fine-tuning. */
  readonly objective?: ObjectiveConfig;
  /** Of a distillation. */
  readonly teacher?: Teacher;
  /** Default: a step is one packed batch. */
  readonly microBatches?: (examples: readonly TokenExample[]) => PackedBatch[];
  /** @param step counted from 1 */
  readonly keepsGradients?: (step: number) => boolean;
  readonly onStep?: (step: number) => void;
}

/**
 * Trains with our step and optimizer as a peer did: from its initial tensors, on its batches (from the first again when they
 * run out), at its learning rates. `initial` is not changed.
 */
export function replayTraining(
  base: BaseModel,
  initial: Adapter,
  replay: Replay,
): { steps: ReplayedStep[]; trained: Adapter } {
  const { config } = initial;
  const method = trainableMethodOf(config);
  const specs = parametersOf({ adapter: config, ...(replay.objective && { objective: replay.objective }) }, base);
  const isFrozen = new Map(specs.map((spec) => [spec.name, spec.isFrozen ?? false]));
  const parameters: Parameter[] = [];
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape, data }] of initial.tensors) {
    const value = { shape, data: Float32Array.from(data) };
    tensors.set(name, value);
    // PEFT saves the rows of a tied head twice.
    if (isFrozen.get(name) === false && !replay.isFrozen?.(name))
      parameters.push({ name, value, gradient: { shape, data: new Float32Array(data.length) } });
  }
  const own = withHead(method.bind(config, base, tensors, { dropoutRng: undefined }), config, tensors);
  const hooks = replay.hooks?.(own) ?? own;
  const tape = new Tape(base.kernels, new BufferPool(), parameters);
  const rule = method.stepRule?.(config, parameters, base.config);
  const moments = zeroMoments(parameters);
  const inference = new Inference(base.kernels, new BufferPool());
  const objective = makeObjective(replay.objective ?? { name: 'sft' }, base, inference, replay.teacher);
  const optimizer = {
    beta1: replay.settings.betas[0],
    beta2: replay.settings.betas[1],
    epsilon: replay.settings.eps,
    weightDecay: replay.settings.weight_decay,
    maxGradientNorm: replay.settings.max_grad_norm,
    ...(replay.rateRatio !== undefined && { rateRatio: replay.rateRatio }),
  };
  const steps = replay.learningRates.map((learningRate, index): ReplayedStep => {
    const step = index + 1;
    const examples = replay.batches[index % replay.batches.length];
    let [lossSum, weightSum] = [0, 0];
    for (const batch of replay.microBatches?.(examples) ?? [objective.pack(examples)]) {
      const loss = trainStep(tape, base, hooks, batch, objective);
      lossSum += loss.lossSum;
      weightSum += loss.weightSum;
    }
    rule?.addPenalty?.(base.kernels, weightSum);
    const gradients = replay.keepsGradients?.(step)
      ? new Map(parameters.map(({ name, gradient }) => [name, meanOf(gradient.data, weightSum)]))
      : undefined;
    rule?.beforeUpdate?.();
    const { gradientNorm, gradientScale } = applyGradients(base.kernels, parameters, moments, optimizer, {
      weightSum,
      learningRate,
      step,
    });
    rule?.afterUpdate(step, gradientScale);
    clearGradients(parameters);
    replay.onStep?.(step);
    return { loss: lossSum / weightSum, gradientNorm, gradients };
  });
  return { steps, trained: { config, tensors } };
}

function meanOf(sums: ArrayLike<number>, weightSum: number): Float32Array {
  return Float32Array.from(sums, (sum) => sum / weightSum);
}
