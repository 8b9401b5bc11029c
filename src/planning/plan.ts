import { fail } from '../base/index.ts';
import { BASE_FORMATS, countTrainable, DEFAULT_COUNTS, plannedMethod } from './methods.ts';
import type { BaseFormat, PlannedMethod, Trainable } from './methods.ts';
import {
  FULL_RECIPES,
  fullStateBytes,
  isBuffer,
  servingMemory,
  totalBytes,
  trainingMemory,
  weightBytes,
} from './memory.ts';
import type { FullRecipeName, KvFormat, Part } from './memory.ts';
import { doubtsOf, memoryFigures } from './machine-doubts.ts';
import type { MachineFigures } from './machine.ts';
import { passesOf } from './pass-work.ts';
import { limits } from '../formats/index.ts';
import { countParameters } from './parameters.ts';
import type { ParameterCount } from './parameters.ts';
import type { PlannedModel } from './presets.ts';
import { storageBill } from './storage.ts';
import type { StorageBill } from './storage.ts';
import { calibratedTime, timeBill, trainingFlops } from './time.ts';
import type { TimeBill } from './time.ts';

/** What to plan for. Everything but the model has a default; the plan's `assumptions` name those that matter. */
export interface PlanOptions {
  readonly model: PlannedModel;
  /** `lora` (default), `qlora` or `full`. */
  readonly method?: string;
  readonly rank?: number;
  /** `attention` (default), `attention-qv`, `mlp`, `all-linear`, or module names with commas between. */
  readonly targets?: string;
  /** Of prompt tuning, P-tuning and prefix tuning; default 20. */
  readonly virtualTokens?: number;
  /** Tokens whose embeddings are trained (trainable-tokens); default 1. */
  readonly trainedTokens?: number;
  /** Labels of a classification, whose head is trained beside the adapter; default none. */
  readonly labels?: number;
  /** The base's weights; default bf16, nf4 for qlora. */
  readonly baseFormat?: string;
  /** Bytes of a number in an adapter file: 4 (f32, as trained; default) or 2 (bf16). */
  readonly adapterFormat?: string;
  /** How full fine-tuning keeps its state. */
  readonly fullRecipe?: string;
  /** Sequences of a training step, and of the server at once. */
  readonly batch?: number;
  /** Tokens of each sequence. */
  readonly seq?: number;
  /** Adapters to store and to hold in the server. */
  readonly adapters?: number;
  /** Tokens to train on. */
  readonly trainTokens?: number;
  readonly kvFormat?: string;
  /** Tokens at the start that all served sequences share. */
  readonly sharedPrefix?: number;
  readonly gigaflopsPerSecond?: number;
  /** Tokens of one forward and backward pass, at most; all of a step's when missing. */
  readonly microBatchTokens?: number | undefined;
  /** What the machine was measured to do; decides time and memory where `gigaflopsPerSecond` is not given. */
  readonly machine?: MachineFigures | undefined;
  /** What products are to round to (`ESPALIER_COMPUTE`); `auto` unless given. */
  readonly compute?: string | undefined;
}

/** The bill of a run and of a server, as plain JSON: bytes, seconds and counts, nothing rounded. */
export interface Plan {
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly parameters: ParameterCount;
    /** All weights in 16 bit. */
    readonly bytes16: number;
    /** The same for the round count in the preset's name; null for a config. */
    readonly nominal: { readonly parameters: number; readonly bytes16: number } | null;
  };
  readonly method: { readonly name: PlannedMethod; readonly rank: number | null; readonly targets: string | null };
  readonly trainable: Trainable & { readonly shareOfNominal: number | null; readonly adapterBytes: number };
  readonly training: { readonly parts: readonly Part[]; readonly totalBytes: number; readonly tokensPerStep: number };
  /** Weights, gradients and optimizer of full fine-tuning, for comparison. */
  readonly fullFineTuning: readonly {
    readonly recipe: string;
    readonly bytes: number;
    readonly timesWeights: number;
  }[];
  readonly serving: { readonly parts: readonly Part[]; readonly totalBytes: number };
  readonly storage: StorageBill;
  readonly time: TimeBill;
  readonly assumptions: readonly string[];
}

const DEFAULT_TRAIN_TOKENS = 1_000_000;
/** Two AVX2 cores on products of a 135M model's shapes; `espalier bench train` measures a machine's own. */
const DEFAULT_GIGAFLOPS = 150;

/**
 * Plans a run and a server.
 * @throws USAGE_INVALID names the option; TARGET_UNMATCHED when a target names no module
 */
export function planFrom(options: PlanOptions): Plan {
  const { model } = options;
  const { config } = model;
  const { name: method, cost } = plannedMethod(options.method ?? 'lora');
  const isFull = cost.perSite === null;
  const rank = positive('rank', options.rank ?? 8, 65_536);
  const targets = options.targets ?? 'attention';
  const format = oneOf<BaseFormat>('baseFormat', options.baseFormat ?? cost.defaultBaseFormat, BASE_FORMATS);
  if (isFull && format !== 'bf16') {
    fail('USAGE_INVALID', `full fine-tuning trains the weights themselves: baseFormat must be bf16, got ${format}`, {
      param: 'baseFormat',
    });
  }
  const adapterFormat = oneOf('adapterFormat', options.adapterFormat ?? 'f32', ['f32', 'bf16'] as const);
  const kvFormat = oneOf<KvFormat>('kvFormat', options.kvFormat ?? 'f32', ['f32', 'bf16']);
  const recipeName = oneOf<FullRecipeName>(
    'fullRecipe',
    options.fullRecipe ?? 'bf16 moments',
    FULL_RECIPES.map((recipe) => recipe.name),
  );
  const recipe = FULL_RECIPES.find((candidate) => candidate.name === recipeName) ?? FULL_RECIPES[1];
  const batch = positive('batch', options.batch ?? 8, 2 ** 20);
  const seq = positive('seq', options.seq ?? 256, 2 ** 24);
  const variants = positive('adapters', options.adapters ?? 1, 1e9);
  const trainTokens = positive('trainTokens', options.trainTokens ?? DEFAULT_TRAIN_TOKENS, 1e15);
  const sharedPrefix = options.sharedPrefix ?? 0;
  if (!Number.isSafeInteger(sharedPrefix) || sharedPrefix < 0 || sharedPrefix > seq) {
    fail('USAGE_INVALID', `sharedPrefix must be a whole number from 0 to seq (${seq}), got ${sharedPrefix}`, {
      param: 'sharedPrefix',
    });
  }
  const gigaflops = options.gigaflopsPerSecond ?? DEFAULT_GIGAFLOPS;
  if (!(gigaflops > 0 && Number.isFinite(gigaflops))) {
    fail('USAGE_INVALID', `gigaflopsPerSecond must be above 0, got ${gigaflops}`, { param: 'gigaflopsPerSecond' });
  }

  const parameters = countParameters(config);
  const counts = {
    virtualTokens: positive('virtualTokens', options.virtualTokens ?? DEFAULT_COUNTS.virtualTokens, 65_536),
    trainedTokens: positive('trainedTokens', options.trainedTokens ?? DEFAULT_COUNTS.trainedTokens, config.vocabSize),
    labels: options.labels === undefined ? undefined : positive('labels', options.labels, limits.MAX_LABELS),
  };
  const trainable = countTrainable(config, method, rank, targets, counts);
  const isSited = isFull || trainable.numSites > 0;
  const bytes16 = weightBytes(config, 'bf16');
  const adapterBytes = isFull
    ? bytes16
    : (trainable.stored ?? trainable.parameters) * (adapterFormat === 'f32' ? 4 : 2);
  const { machine } = options;
  const microBatchTokens =
    options.microBatchTokens === undefined
      ? undefined
      : positive('microBatchTokens', options.microBatchTokens, 2 ** 30);
  const shape = { batch, seq, microBatchTokens };
  const heldTokens = passesOf(shape)[0] * seq;
  const training = [
    programPart(machine),
    ...trainingMemory(config, trainable, { format, rank, recipe, tokens: heldTokens }).map((part) =>
      isBuffer(part)
        ? { ...part, bytes: Math.round(part.bytes * memoryFigures(machine, UNMEASURED).bufferFactor) }
        : part,
    ),
  ];
  const timed = { config, trainable, method, format, shape };
  const calibrated =
    machine && options.gigaflopsPerSecond === undefined ? calibratedTime(machine, timed, trainTokens) : undefined;
  const serving = servingMemory(config, {
    format,
    kvFormat,
    // A full variant is a base of its own: a server of N variants holds N of them.
    residentAdapters: isFull ? variants - 1 : variants,
    adapterBytes,
    sequences: batch,
    tokensEach: seq,
    sharedPrefix,
  });
  const nominal = model.nominalParameters;
  return {
    model: {
      name: model.name,
      architecture: model.architecture,
      parameters,
      bytes16,
      nominal: nominal === null ? null : { parameters: nominal, bytes16: nominal * 2 },
    },
    method: {
      name: method,
      rank: isFull || !isSited ? null : rank,
      targets: isFull || !isSited ? null : targets,
    },
    trainable: { ...trainable, shareOfNominal: nominal === null ? null : trainable.parameters / nominal, adapterBytes },
    training: { parts: training, totalBytes: totalBytes(training), tokensPerStep: batch * seq },
    fullFineTuning: FULL_RECIPES.map((each) => {
      const bytes = fullStateBytes(parameters.total, each);
      return { recipe: each.name, bytes, timesWeights: bytes / bytes16 };
    }),
    serving: { parts: serving, totalBytes: totalBytes(serving) },
    storage: storageBill(variants, bytes16, adapterBytes),
    time: calibrated ?? timeBill(trainingFlops(config, trainable, seq), trainTokens, gigaflops),
    assumptions: [
      ...(nominal === null
        ? []
        : [
            `${model.name} is the shape of ${model.architecture}: ${parameters.total} parameters, not the round ${nominal}`,
          ]),
      'GB are 10^9 bytes; counts of parameters are exact, and the share is of all of them, embeddings included',
      ...(isFull
        ? [`full fine-tuning with ${recipe.name} on 16-bit weights and gradients; the other accountings are listed`]
        : [
            isSited
              ? `rank ${rank} on ${targets} (${trainable.roles.join(' ')}), the same in every layer`
              : `${method} adapts no linear layer; ${counts.virtualTokens} virtual or ${counts.trainedTokens} trained tokens where it has some`,
            'adapter, gradients and moments are f32; the frozen base has neither gradients nor moments',
            `an adapter file holds ${adapterFormat} numbers`,
          ]),
      ...(isFull || method === 'lora' || method === 'qlora'
        ? []
        : [`${method}'s parameters are counted as it makes them; its activations and compute are taken to be LoRA's`]),
      ...(format === 'int8' || format === 'nf4' ? [`${format} on the blocks' linear layers; the rest stays bf16`] : []),
      'activations are f32 and nothing is recomputed; the loss takes logits in chunks, never a tokens x vocabulary matrix',
      `a training step and the server have ${batch} sequences of ${seq} tokens; keys and values are ${kvFormat}`,
      ...(heldTokens === batch * seq
        ? []
        : [`of a training step, ${heldTokens} tokens are held at once (micro-batches)`]),
      'storage holds the base in 16 bit',
      `time is for ${trainTokens} tokens with loss at every position, ${timeSource(calibrated !== undefined, options)}`,
      ...(calibrated && calibrated.startSeconds > 0
        ? [`${calibrated.startSeconds.toFixed(1)} s of the time are the first step’s, however many follow`]
        : []),
      ...doubtLines(machine),
      ...(calibrated ? otherCompute(machine, options) : []),
    ],
  };
}

/** Without a machine's figures, buffers take what is planned. */
const UNMEASURED = { bufferFactor: 1 };

function programPart(machine: MachineFigures | undefined): Part {
  const { processBytes } = memoryFigures(machine, UNMEASURED);
  const isMeasured = machine !== undefined && processBytes === machine.processBytes;
  const how = isMeasured ? 'measured on this machine' : "the runtime, the program, a kernel's own buffers";
  return { part: 'program', bytes: processBytes, how };
}

/** What of the machine's figures the plan does without, or should have. */
function doubtLines(machine: MachineFigures | undefined): string[] {
  const doubts = machine ? doubtsOf(machine) : [];
  if (doubts.length === 0) return [];
  return [
    `the measurement of this machine is doubtful (${doubts.join('; ')}): measure it again while nothing else runs, with espalier bench train --calibrate`,
  ];
}

/** That the machine was measured with other products than those that are planned for. */
function otherCompute(machine: MachineFigures | undefined, { compute = 'auto' }: PlanOptions): string[] {
  const measured = machine?.compute ?? 'auto';
  if (measured === compute) return [];
  return [
    `this machine was measured with products in ${measured}, ESPALIER_COMPUTE is ${compute} now: measure it again, with espalier bench train --calibrate`,
  ];
}

/** What the time was computed from. */
function timeSource(isCalibrated: boolean, { machine, gigaflopsPerSecond, method }: PlanOptions): string {
  if (isCalibrated && machine) {
    const known = ['lora', 'qlora', ...Object.keys(machine.methods)].includes(method ?? 'lora');
    return (
      `as this machine was measured to do on ${machine.base} (${machine.instructionSet}, products in ${machine.compute ?? 'auto'}, ` +
      `${machine.threads} threads, ` +
      `${machine.measuredAt.slice(0, 10)})${known ? '' : `; ${method} itself was not measured`}`
    );
  }
  const rate = `at ${gigaflopsPerSecond ?? DEFAULT_GIGAFLOPS} GFLOP/s`;
  if (gigaflopsPerSecond !== undefined) return rate;
  return `${rate} (two AVX2 cores; measure yours with: espalier bench train --calibrate)`;
}

function positive(param: string, value: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
  return fail('USAGE_INVALID', `${param} must be a whole number from 1 to ${max}, got ${value}`, { param });
}

function oneOf<T extends string>(param: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === value);
  if (choice !== undefined) return choice;
  return fail('USAGE_INVALID', `${param} must be one of ${choices.join(', ')}, got ${JSON.stringify(value)}`, {
    param,
  });
}
