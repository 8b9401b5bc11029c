import { assert, fail, Rng } from '../base/index.ts';
import { withoutStart, type AdapterTensors, type LoraStart, type StepRule } from '../adapters/index.ts';
import { scoreName, tensorName } from '../formats/index.ts';
import type { BaseModel, SiteHooks } from '../model/index.ts';
import { BufferPool, Inference, sizeOf, Tape, type Parameter, type Tensor } from '../numeric/index.ts';
import { trainedMethodOf, type TrainedConfig, type TrainedMethod } from './full-model.ts';
import { applyGradients, clearGradients, zeroMoments, type Moments } from './optimizer.ts';
import { firstBatches, startLora } from './lora-start.ts';
import { LossMeans } from './loss-means.ts';
import { initialiseHead, parametersOf, requireHead, withHead } from './objectives/classification.ts';
import { makeObjective } from './objectives/index.ts';
import type { Objective } from './objectives/objective.ts';
import { groupByTokens, type PackedBatch, type TokenExample } from './pack.ts';
import { hasDropout, lengthsOf, microBatches } from './micro-batches.ts';
import type { RunConfig, RunData, RunSources } from './run-config.ts';
import { firstState, type Evaluation, type RunState, type StepReport } from './run-state.ts';
import { continueGreedily, type SamplingLimits } from './sample.ts';
import { scheduleFactor, type Schedule } from './schedule.ts';
import { classifyStep, evaluateStep, trainStep, type BatchLoss } from './step.ts';

/** A step whose micro-batches are under way: the optimizer has not been applied, the run's state is that of the step before. */
export interface OpenStep {
  /** Those with a target, in order. */
  readonly batches: readonly PackedBatch[];
  readonly hooks: SiteHooks;
  readonly dropoutRng: Rng;
}

/**
 * One training run: the only loop of the training journey. All that it does is decided by (base, data, config, seed) and its
 * state, so a run that continues from a checkpoint ends in the same bytes as one that was never interrupted.
 */
export class TrainingRun {
  readonly config: RunConfig;
  readonly parameters: readonly Parameter[];
  /** Tensors of the adapter that are not trained, by name: the seed decides them, so no checkpoint has them. */
  readonly frozen: ReadonlyMap<string, Tensor>;
  readonly moments: readonly Moments[];
  /** The config of the adapter that is trained, made for this run's steps. */
  readonly adapter: TrainedConfig;
  readonly stepRule: StepRule | undefined;
  /** What A and B began with, where the base is to be thought without it. */
  readonly takenOff: LoraStart | undefined;
  readonly state: RunState;
  readonly totalSteps: number;
  readonly objective: Objective;
  readonly #method: TrainedMethod;
  readonly #base: BaseModel;
  readonly #data: RunData;
  readonly #tape: Tape;
  readonly #inference: Inference;
  #order: { readonly epoch: number; readonly groups: readonly (readonly TokenExample[])[] };

  /**
   * @param pool buffers, which runs of one thread may share: none is held between two steps
   * @param sources what some configurations ask beside the data
   */
  constructor(base: BaseModel, data: RunData, config: RunConfig, pool = new BufferPool(), sources: RunSources = {}) {
    if (data.train.length === 0) fail('DATA_INVALID', 'there are no training examples');
    this.config = config;
    this.#base = base;
    this.#data = data;
    const method = trainedMethodOf(config.adapter);
    requireHead(config.objective, config.adapter);
    const frozen = new Map<string, Tensor>();
    this.parameters = parametersOf(config, base).flatMap((parameter): Parameter[] => {
      const { name, shape } = parameter;
      const value = { shape, data: new Float32Array(sizeOf(shape)) };
      const rng = Rng.fromSeed(config.seed, parameter.drawnAs ?? name);
      if (name === scoreName(config.adapter)) initialiseHead(value.data, rng);
      else method.initialise(parameter, value.data, rng, base, config.initialTokenIds);
      const isFrozen = parameter.isFrozen ?? (config.lora?.freezeA === true && name.endsWith('.lora_A.weight'));
      if (!isFrozen) return [{ name, value, gradient: { shape, data: new Float32Array(sizeOf(shape)) } }];
      frozen.set(name, value);
      return [];
    });
    this.frozen = frozen;
    this.moments = zeroMoments(this.parameters);
    this.#order = this.#epochOrder(0);
    this.totalSteps = config.maxSteps ?? this.#countSteps();
    this.adapter = method.scheduled?.(this.totalSteps) ?? config.adapter;
    this.#method = trainedMethodOf(this.adapter);
    this.stepRule = this.#method.stepRule?.(this.parameters, base.config);
    this.#tape = new Tape(base.kernels, pool, this.parameters, { recompute: config.recompute });
    this.#inference = new Inference(base.kernels, pool);
    this.objective = makeObjective(config.objective ?? { name: 'sft' }, base, this.#inference, sources.teacher);
    this.takenOff = this.#start(sources);
    this.state = firstState(config.seed);
  }

  get schedule(): Schedule {
    const { schedule: name, warmup } = this.config;
    return { name, warmupSteps: Math.round(warmup * this.totalSteps), totalSteps: this.totalSteps };
  }

  /** Whether the held-out loss has not become better for as many evaluations as the run is patient. */
  get hasStoppedEarly(): boolean {
    const { validations, best } = this.state;
    if (this.config.patience === undefined || best === undefined) return false;
    return validations.filter(({ step }) => step > best.step).length >= this.config.patience;
  }

  get isDone(): boolean {
    return this.state.step >= this.totalSteps || this.hasStoppedEarly;
  }

  /** Trains one step, then evaluates if it is time. @throws TRAINING_DIVERGED leaves the last checkpoint as it was */
  step(): StepReport {
    assert(!this.isDone, 'a finished run takes no further step');
    const open = this.openStep();
    return this.closeStep(
      open,
      open.batches.map((batch) =>
        trainStep(this.#tape, this.#base, open.hooks, batch, this.objective, this.sharesPrefix),
      ),
    );
  }

  /** The next step's micro-batches: whoever trains on them in order, {@link Tape.backward} and all, then calls {@link closeStep}. */
  openStep(): OpenStep {
    const { state } = this;
    if (this.#order.epoch !== state.epoch) this.#order = this.#epochOrder(state.epoch);
    const examples = this.#order.groups[state.cursor];
    const dropoutRng = Rng.fromState(state.dropoutRng);
    const hooks = this.#hooks(dropoutRng);
    const batches = this.#microBatches(examples, hooks).filter(({ weightSum }) => weightSum !== 0);
    return { batches, hooks, dropoutRng };
  }

  /** Applies the gradients that the step's micro-batches left, and evaluates if it is time. @throws TRAINING_DIVERGED */
  closeStep({ batches, dropoutRng }: OpenStep, losses: readonly BatchLoss[]): StepReport {
    assert(losses.length === batches.length, 'a step ends when all of its micro-batches have been trained on');
    const { state, config } = this;
    const epoch = state.epoch;
    const numTokens = batches.reduce((sum, { tokenIds_T }) => sum + tokenIds_T.length, 0);
    const sums = new LossMeans();
    for (const each of losses) sums.add(each);
    const { loss, accuracy, metrics } = sums.means;
    const step = state.step + 1;
    if (!Number.isFinite(loss)) {
      fail(
        'TRAINING_DIVERGED',
        `the loss of step ${step} is ${loss}: start anew with a lower --learning-rate (now ${config.learningRate})`,
      );
    }
    const penalty = this.stepRule?.addPenalty?.(this.#base.kernels, sums.weightSum);
    this.stepRule?.beforeUpdate?.();
    const learningRate = config.learningRate * scheduleFactor(this.schedule, step);
    const applied = applyGradients(this.#base.kernels, this.parameters, this.moments, config.optimizer, {
      weightSum: sums.weightSum,
      learningRate,
      step,
    });
    this.stepRule?.afterUpdate(step, applied.gradientScale);
    clearGradients(this.parameters);
    state.step = step;
    state.cursor++;
    if (state.cursor >= this.#order.groups.length) {
      state.epoch++;
      state.cursor = 0;
    }
    state.dropoutRng = dropoutRng.state;
    state.trainedTokens += numTokens;
    state.trainLosses.push(loss);
    state.trainAccuracies.push(accuracy);
    const isTime = step % config.evaluateEverySteps === 0 || step === this.totalSteps;
    const valid = isTime && this.#data.valid.length > 0 ? this.#validate() : undefined;
    return {
      step,
      totalSteps: this.totalSteps,
      epoch,
      loss,
      accuracy,
      gradientNorm: applied.gradientNorm,
      learningRate,
      numTokens,
      metrics: { ...metrics, ...(penalty !== undefined && { penalty }) },
      valid,
    };
  }

  /** The mean loss over the targets of `examples`, without dropout. */
  evaluate(examples: readonly TokenExample[]): Evaluation {
    const hooks = this.#hooks(undefined);
    const sums = new LossMeans();
    for (const batch of this.#microBatches(examples, hooks)) {
      if (batch.weightSum === 0) continue;
      sums.add(evaluateStep(this.#inference, this.#base, hooks, batch, this.objective, this.sharesPrefix));
    }
    return sums.means;
  }

  /** Whether a micro-batch computes a common beginning once: not under dropout, which zeroes other values in each. */
  get sharesPrefix(): boolean {
    return !hasDropout(this.config.adapter);
  }

  /** The numbers of the labels that the adapter as it is now finds most likely, one for each example. */
  classify(examples: readonly TokenExample[]): number[] {
    const hooks = this.#hooks(undefined);
    return this.#microBatches(examples, hooks).flatMap((batch) =>
      classifyStep(this.#inference, this.#base, hooks, batch, this.sharesPrefix),
    );
  }

  /** What the adapter as it is now answers to prompts: token ids, greedily. */
  sample(prompts: readonly Int32Array[], limits: SamplingLimits): number[][] {
    return continueGreedily(this.#inference, this.#base, this.#hooks(undefined), prompts, limits);
  }

  /** The values to publish: the best on held-out data where there is any, otherwise the last. */
  finalValues(): readonly Float32Array[] {
    return this.state.best?.values ?? this.parameters.map(({ value }) => value.data as Float32Array);
  }

  #validate(): Evaluation {
    const { state } = this;
    const evaluation = this.evaluate(this.#data.valid);
    if (!Number.isFinite(evaluation.loss)) {
      fail(
        'TRAINING_DIVERGED',
        `the held-out loss after step ${state.step} is ${evaluation.loss}: start anew with a lower --learning-rate (now ${this.config.learningRate})`,
      );
    }
    state.validations.push({ step: state.step, ...evaluation });
    if (state.best === undefined || evaluation.loss < state.best.loss) {
      const values = this.parameters.map(({ value }) => Float32Array.from(value.data));
      state.best = { step: state.step, loss: evaluation.loss, values };
    }
    return evaluation;
  }

  /** The artefact's tensors for these values of the parameters, in their order. */
  artefact(values: readonly Float32Array[]): ReadonlyMap<string, Tensor> {
    const trained = this.parameters.map(({ name, value: { shape } }, index): [string, Tensor] => {
      const data = values[index];
      return [name, { shape, data: data ?? fail('INTERNAL', `no value for ${name}`) }];
    });
    const tensors = new Map([...this.frozen, ...trained]);
    const folded = this.#method.fold?.(this.#base, tensors);
    if (!folded) return tensors;
    const name = scoreName(this.adapter);
    const head = tensors.get(name);
    return head ? new Map([...folded, [name, head]]) : folded;
  }

  /** Every tensor by its name, as it is now. */
  get #tensors(): AdapterTensors {
    return new Map([...this.frozen, ...this.parameters.map(({ name, value }) => [name, value] as const)]);
  }

  #microBatches(examples: readonly TokenExample[], hooks: SiteHooks): PackedBatch[] {
    const ranges = microBatches(examples, this.config.microBatchTokens, hooks, this.sharesPrefix);
    return ranges.map(([begin, end]) => this.objective.pack(examples.slice(begin, end)));
  }

  #hooks(dropoutRng: Rng | undefined): SiteHooks {
    const tensors = this.#tensors;
    const hooks = withHead(this.#method.bind(this.#base, tensors, { dropoutRng }), this.adapter, tensors);
    const { adapter, takenOff } = this;
    return takenOff && adapter.peft_type === 'LORA' ? withoutStart(adapter, hooks, takenOff) : hooks;
  }

  /** Gives A and B the first values of the configured start. They depend on base, data and config alone: a resumed run makes them again. */
  #start({ original }: RunSources): LoraStart | undefined {
    const name = this.config.lora?.start;
    if (name === undefined) return undefined;
    const { adapter, objective } = this;
    const batches = firstBatches(this.#order.groups, objective, this.config.microBatchTokens);
    const { pairs, isTakenOff } = startLora(name, adapter, this.#base, { objective, batches, original });
    const values = this.#tensors;
    for (const [path, { a_RI, b_OR }] of pairs) {
      values.get(tensorName(path, 'lora_A.weight'))?.data.set(a_RI.data);
      values.get(tensorName(path, 'lora_B.weight'))?.data.set(b_OR.data);
    }
    return isTakenOff ? pairs : undefined;
  }

  /** Each epoch has an order of its own, which depends on the seed and the epoch alone. */
  #epochOrder(epoch: number) {
    const order = Rng.fromSeed(this.config.seed, `epoch ${epoch}`).shuffle([...this.#data.train]);
    const ranges = groupByTokens(lengthsOf(order), this.config.batchTokens);
    return { epoch, groups: ranges.map(([begin, end]) => order.slice(begin, end)) };
  }

  #countSteps(): number {
    let steps = 0;
    for (let epoch = 0; epoch < this.config.epochs; epoch++) steps += this.#epochOrder(epoch).groups.length;
    return steps;
  }
}
