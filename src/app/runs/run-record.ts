import { existsSync } from 'node:fs';
import { z } from 'zod';
import { fail, writeFileAtomicSync } from '../../base/index.ts';
import { digestOfFile, parsePeftConfig, readJsonFile } from '../../formats/index.ts';
import {
  FULL_CONFIG,
  LORA_STARTS,
  OBJECTIVES,
  SCHEDULES,
  type LoraTraining,
  type OptimizerConfig,
  type RunConfig,
  type TrainedConfig,
  type TrainJob,
  type TrainResult,
} from '../../training/index.ts';
import { COMPUTE_DTYPES, WEIGHT_FORMATS, type ComputeDtype, type WeightFormat } from '../../numeric/index.ts';
import type { Base } from '../bases.ts';
import { VERSION } from '../version.ts';

const RECORD_VERSION = 1;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const dataFile = z.strictObject({ path: z.string(), digest });
const figure = z.number();
const objective = z.looseObject({ name: z.enum(OBJECTIVES as [string, ...string[]]) });

/** A schema that has forgotten a setting does not compile: what a run has written down could not be read. */
type FieldsOf<Settings> = Record<keyof Settings, z.ZodType>;

const configSchema = z.strictObject({
  adapter: z.record(z.string(), z.unknown()),
  initialTokenIds: z.array(z.int().nonnegative()).optional(),
  lora: z
    .strictObject({
      start: z.enum(LORA_STARTS as [string, ...string[]]).optional(),
      freezeA: z.literal(true).optional(),
    } satisfies FieldsOf<LoraTraining>)
    .optional(),
  objective: objective.optional(),
  maxSteps: z.int().positive().nullable(),
  epochs: z.int().positive(),
  batchTokens: z.int().positive(),
  microBatchTokens: z.int().positive(),
  recompute: z.boolean().optional(),
  learningRate: figure,
  schedule: z.enum(SCHEDULES as [string, ...string[]]),
  warmup: figure,
  seed: z.int().nonnegative(),
  optimizer: z.strictObject({
    beta1: figure,
    beta2: figure,
    epsilon: figure,
    weightDecay: figure,
    maxGradientNorm: figure,
    rateRatio: figure.optional(),
    sparesBiasesAndNorms: z.literal(true).optional(),
  } satisfies FieldsOf<OptimizerConfig>),
  evaluateEverySteps: z.int().positive(),
  patience: z.int().positive().optional(),
  validShare: figure.optional(),
} satisfies FieldsOf<RunConfig>);

/** Everything that decides a run's bytes, and what came out. */
const recordSchema = z.strictObject({
  version: z.literal(RECORD_VERSION),
  espalier: z.string(),
  instructionSet: z.string(),
  base: z.strictObject({ name: z.string(), digest: z.string() }),
  /** Tokenizer and chat template together. */
  text: digest,
  train: dataFile,
  /** Null when a part of the training file was held out, or nothing. */
  valid: dataFile.nullable(),
  config: configSchema,
  result: z.looseObject({
    digest,
    baseFormat: z.enum(WEIGHT_FORMATS).default('bf16'),
    computeDtype: z.enum(COMPUTE_DTYPES).default('f32'),
  }),
});

/** A run that can be repeated. */
export interface RunRecord {
  readonly espalier: string;
  readonly instructionSet: string;
  readonly base: { readonly name: string; readonly digest: string };
  readonly text: string;
  readonly train: { readonly path: string; readonly digest: string };
  readonly valid: { readonly path: string; readonly digest: string } | null;
  readonly config: RunConfig;
  readonly result: {
    readonly digest: string;
    readonly baseFormat: WeightFormat;
    readonly computeDtype: ComputeDtype;
  };
}

export function writeRunRecord(path: string, base: Base, job: TrainJob, result: TrainResult): void {
  const { validPath } = job;
  const record = {
    version: RECORD_VERSION,
    espalier: VERSION,
    instructionSet: result.instructionSet,
    base: { name: base.name, digest: result.baseDigest },
    text: result.textDigest,
    train: { path: job.dataPath, digest: result.dataDigest },
    valid:
      validPath === undefined || result.validDigest === null ? null : { path: validPath, digest: result.validDigest },
    config: job.config,
    result,
  };
  writeFileAtomicSync(path, [Buffer.from(`${JSON.stringify(record, null, 2)}\n`)]);
}

function trainedConfig(adapter: Readonly<Record<string, unknown>>, path: string): TrainedConfig {
  return adapter['peft_type'] === FULL_CONFIG.peft_type ? FULL_CONFIG : parsePeftConfig(adapter, path);
}

/** @throws FILE_NOT_FOUND CONFIG_INVALID names the field */
export function readRunRecord(path: string): RunRecord {
  const parsed = recordSchema.safeParse(readJsonFile(path));
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path: at, message }) => ({ where: at.join('.'), message }));
    const first = problems[0];
    fail('CONFIG_INVALID', `${path}: is no run record of this version: ${first.where}: ${first.message}`, { problems });
  }
  const { config, ...record } = parsed.data;
  // The schema has named every field; these two have types that it cannot say.
  return { ...record, config: { ...config, adapter: trainedConfig(config.adapter, path) } as RunConfig };
}

/** The settings of a run from their JSON. @throws CONFIG_INVALID names the field */
export function parseRunConfig(value: unknown, where: string): RunConfig {
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path: at, message }) => ({ where: at.join('.'), message }));
    const [first] = problems;
    fail('CONFIG_INVALID', `${where}: are no settings of this version: ${first.where}: ${first.message}`, { problems });
  }
  return { ...parsed.data, adapter: trainedConfig(parsed.data.adapter, where) } as RunConfig;
}

/** @throws FILE_NOT_FOUND; DATA_INVALID when the file is no longer the one of the run */
export function requireSameFile(path: string, expected: string, what: string, option: string): void {
  if (!existsSync(path)) {
    fail('FILE_NOT_FOUND', `${path}: the ${what} of the run is not there: say with ${option} where it is now`, {
      param: option,
    });
  }
  const actual = digestOfFile(path);
  if (actual === expected) return;
  fail(
    'DATA_INVALID',
    `${path}: is not the ${what} of the run (${expected}, this file is ${actual}): give it with ${option}`,
    {
      param: option,
    },
  );
}
