import { trainableMethodOf } from '../../adapters/index.ts';
import { asEspalierError, fail } from '../../base/index.ts';
import { numVirtualTokens, type PeftConfig } from '../../formats/index.ts';
import type { RequestedPeft } from '../../http/index.ts';
import { DEFAULT_PEFT, type JobMethod, type JobPeft } from '../../jobs/index.ts';
import { linearSites, type ModelConfig } from '../../model/index.ts';
import type { WeightFormat } from '../../numeric/index.ts';
import { baseFormat } from '../runs/run-settings.ts';
import { FULL, methodConfig, methodDefaults, TRAINING_METHODS, type MethodOptions } from '../runs/train-methods.ts';

type JobPeftMethod = Exclude<(typeof TRAINING_METHODS)[number], typeof FULL>;

/** The methods that jobs have: all that a rank and targets are enough for. */
export const TUNING_PEFT_METHODS: readonly JobPeftMethod[] = TRAINING_METHODS.filter(
  (method) => method !== FULL && method !== 'trainable-tokens',
);

/** Modules that no plan counts. */
const OUTER_MODULES = ['lm_head', 'embed_tokens'];

function peftMethodOf(name: string): JobPeftMethod {
  const method = TUNING_PEFT_METHODS.find((known) => known === name);
  const known = TUNING_PEFT_METHODS.join(', ');
  return (
    method ?? fail('REQUEST_INVALID', `peft.method must be one of ${known}, got ${name}`, { param: 'peft.method' })
  );
}

/** How the settings are options of `espalier train`. */
export function peftOptions({ method, rank, targets }: JobPeft): MethodOptions & { readonly method: JobPeftMethod } {
  return {
    method: peftMethodOf(method),
    ...(rank !== null && { rank }),
    ...(targets !== null && { targets }),
    // What is left of AdaLoRA's ranks in the end is two thirds of what it begins with, as by its defaults.
    ...(method === 'adalora' && rank !== null && { initialRank: Math.ceil(1.5 * rank) }),
  };
}

/** The config of the adapter that a job makes. @throws USAGE_INVALID for a method beside which no head is trained */
export function adapterOf(peft: JobPeft, model: ModelConfig, method: JobMethod = 'supervised'): PeftConfig {
  const { method: own, ...options } = peftOptions(peft);
  return methodConfig(own, options, model, method === 'classification');
}

/**
 * What was asked, with the method's defaults.
 * @throws REQUEST_INVALID names the setting that the method has not, or that fits no adapter of this base
 */
export function resolvePeft(asked: RequestedPeft, model: ModelConfig, learned: JobMethod = 'supervised'): JobPeft {
  const method = peftMethodOf(asked.method ?? DEFAULT_PEFT.method);
  const defaults = methodDefaults(method);
  const own = <T extends string | number>(field: 'rank' | 'targets', name: string, given: T | null): T | null => {
    if (given !== null && !(field in defaults)) {
      fail('REQUEST_INVALID', `peft.${name} is no setting of ${method}: leave it out`, { param: `peft.${name}` });
    }
    return given ?? ((defaults[field] ?? null) as T | null);
  };
  const peft: JobPeft = {
    method,
    rank: own('rank', 'rank', asked.rank),
    targets: own('targets', 'target_modules', asked.targets),
    learningRate: asked.learningRate,
  };
  const outer = peft.targets?.split(',').find((name) => OUTER_MODULES.includes(name.split('.').at(-1) ?? ''));
  if (outer !== undefined) {
    fail('REQUEST_INVALID', `peft.target_modules has ${outer}, which jobs do not train: name linear layers`, {
      param: 'peft.target_modules',
    });
  }
  try {
    const config = adapterOf(peft, model, learned);
    trainableMethodOf(config).parameters(config, linearSites(model), model);
  } catch (thrown) {
    const error = asEspalierError(thrown);
    if (error.kind !== 'invalid') throw error;
    const param = PARAMS[error.code] ?? 'peft';
    fail('REQUEST_INVALID', `peft: ${error.message}`, { param, cause: error });
  }
  return peft;
}

/** The field of the request that is wrong, by what was found. */
const PARAMS: Readonly<Record<string, string>> = {
  TARGET_UNMATCHED: 'peft.target_modules',
  USAGE_INVALID: 'peft.method',
};

/** How the base's weights are held while the job is trained. */
export function formatOf({ method }: JobPeft): WeightFormat {
  return baseFormat({ method: peftMethodOf(method) });
}

/** Tokens that an example of the job can have. */
export function usableContext(peft: JobPeft, model: ModelConfig): number {
  return model.contextLength - numVirtualTokens(adapterOf(peft, model));
}
