import { existsSync } from 'node:fs';
import {
  combineAdapters,
  convertToLora,
  writeArtefact,
  type Adapter,
  type CombineOptions,
  type Conversion,
  type LoraSize,
} from '../../adapters/index.ts';
import { fail } from '../../base/index.ts';
import { openBase, type BaseModel } from '../../model/index.ts';
import { loadNativeKernels, type WeightFormat } from '../../numeric/index.ts';
import { referenceOf, type JsonValue } from '../../registry/index.ts';
import { openedIn, type Base, type ModelProgress } from '../bases.ts';
import type { AppConfig } from '../config.ts';
import { parseTarget } from './adapters.ts';
import { openAdapter, type OpenedAdapter } from './open-adapter.ts';
import { publishProven } from './publish.ts';

/** Where a new adapter goes. */
export interface NewAdapter {
  /** Needed where an adapter is a folder. */
  readonly base?: string | undefined;
  /** How the base is held, where the method depends on it; the format of the training, or bf16. */
  readonly format?: WeightFormat | undefined;
  readonly output: string;
  /** `TENANT/TASK`. */
  readonly publish?: string | undefined;
}

export interface WrittenAdapter {
  readonly output: string;
  readonly digest: string;
  /** `TENANT/TASK@VERSION` when it was published. */
  readonly adapter: string | null;
  readonly rank: number;
  readonly sizeBytes: number;
}

export interface ConvertOptions extends NewAdapter {
  readonly reference: string;
  readonly size: LoraSize;
}

export interface ConvertedAdapter extends WrittenAdapter, Pick<Conversion, 'modules' | 'error'> {}

/**
 * Writes the LoRA that is nearest to an adapter of any linear method.
 * @throws ADAPTER_INVALID ADAPTER_NOT_FOUND; USAGE_INVALID the folder exists
 */
export async function convertAdapter(
  config: AppConfig,
  options: ConvertOptions,
  onProgress?: ModelProgress,
  onModule?: (numDone: number, total: number) => void,
): Promise<ConvertedAdapter> {
  refuseExisting(options.output);
  const opened = await openAdapter(config, options.reference, options.base, onProgress);
  const model = openModel(config, opened.base, options.format ?? opened.trainedFormat);
  const { adapter, modules, error } = convertToLora(opened.adapter, model, options.size, opened.reference, onModule);
  const provenance = { convertedFrom: sourceOf(opened), size: { ...options.size }, error };
  const written = await writeNew(config, opened.base, adapter, options, provenance);
  return { ...written, modules, error };
}

export interface CombineRequest extends NewAdapter, Omit<CombineOptions, 'keepValues'> {
  readonly references: readonly string[];
  /** One for each; 1 when missing. */
  readonly weights?: readonly number[] | undefined;
}

/** Writes one LoRA of several adapters on one base. @throws ADAPTER_INVALID ADAPTER_NOT_FOUND CONFIG_INVALID USAGE_INVALID */
export async function combineToAdapter(
  config: AppConfig,
  request: CombineRequest,
  onProgress?: ModelProgress,
): Promise<WrittenAdapter> {
  const { references, type, rank, density, majoritySign, seed } = request;
  refuseExisting(request.output);
  const weights = request.weights ?? references.map(() => 1);
  if (weights.length !== references.length) {
    fail('USAGE_INVALID', `${references.length} adapters need as many weights, got ${weights.length}`, {
      param: '--weights',
    });
  }
  const opened: OpenedAdapter[] = [];
  for (const reference of references) opened.push(await openAdapter(config, reference, request.base, onProgress));
  const [first] = opened;
  const foreign = opened.find(({ base }) => base.digest !== first.base.digest);
  if (foreign) {
    fail(
      'ADAPTER_INVALID',
      `${foreign.reference} is on ${foreign.base.name}, ${first.reference} on ${first.base.name}`,
    );
  }
  const model = openModel(config, first.base, request.format ?? first.trainedFormat);
  const parts = opened.map(({ adapter, reference }, n) => ({ adapter, weight: weights[n], what: reference }));
  const options = { type, rank, density, majoritySign, seed };
  const combined = combineAdapters(parts, options, model);
  const provenance = {
    combinedFrom: opened.map((one, n) => ({ ...sourceOf(one), weight: weights[n] })),
    combination: JSON.parse(JSON.stringify(options)) as JsonValue,
  };
  return writeNew(config, first.base, combined, request, provenance);
}

async function writeNew(
  config: AppConfig,
  base: Base,
  { config: settings, tensors }: Adapter,
  { output, publish }: NewAdapter,
  provenance: Readonly<Record<string, JsonValue>>,
): Promise<WrittenAdapter> {
  const target = publish === undefined ? undefined : parseTarget(publish, '--publish');
  const named = { config: { ...settings, base_model_name_or_path: base.repository }, tensors };
  const { digest, sizeBytes } = writeArtefact(output, named, base.digest);
  const rank = settings.peft_type === 'LORA' ? settings.r : 0;
  if (!target) return { output, digest, adapter: null, rank, sizeBytes };
  const { version } = await publishProven(config, base, output, target, { provenance });
  return { output, digest: version.digest, adapter: referenceOf(version), rank, sizeBytes };
}

function sourceOf({ reference, digest }: OpenedAdapter): { reference: string; digest: string | null } {
  // A folder's path says nothing on another machine.
  return { reference: digest === null ? (reference.split(/[\\/]/).at(-1) ?? reference) : reference, digest };
}

export function refuseExisting(output: string): void {
  if (existsSync(output)) {
    fail('USAGE_INVALID', `${output} exists already: name a folder that does not`, { param: '--output' });
  }
}

function openModel(config: AppConfig, base: Base, format: WeightFormat = 'bf16'): BaseModel {
  const { threads } = config;
  const kernels = loadNativeKernels(threads === undefined ? {} : { threads });
  return openBase(openedIn(config, base, format, 'inference'), kernels);
}
