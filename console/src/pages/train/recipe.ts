import type { JobRequest } from '../../api/types.ts';

/** What the wizard has been told. `auto` leaves it to the server. */
export interface Recipe {
  readonly model: string;
  readonly method: 'supervised' | 'dpo' | 'classification';
  readonly epochs: number | 'auto';
  readonly batchSize: number | 'auto';
  readonly rate: number | 'auto';
  readonly suffix: string;
  /** How the adapter is made. */
  readonly peft: PeftMethod;
  readonly rank: number | 'auto';
  readonly targets: keyof typeof TARGETS;
}

type Peft = NonNullable<JobRequest['peft']>;
export type PeftMethod = NonNullable<Peft['method']>;

/** The methods, the ones that most want first. */
export const PEFT_METHODS: Readonly<Record<PeftMethod, string>> = {
  lora: 'LoRA',
  qlora: 'QLoRA (base in 4 bit)',
  dora: 'DoRA',
  adalora: 'AdaLoRA',
  ia3: 'IA3',
  vera: 'VeRA',
  loha: 'LoHa',
  lokr: 'LoKr',
  oft: 'OFT',
  boft: 'BOFT',
  hra: 'HRA',
  miss: 'MiSS',
  fourierft: 'FourierFT',
  randlora: 'RandLoRA',
  vblora: 'VB-LoRA',
  'prompt-tuning': 'Prompt tuning',
  'p-tuning': 'P-tuning',
  'prefix-tuning': 'Prefix tuning',
  'ln-tuning': 'LN tuning',
};

export const TARGETS = {
  auto: 'as the method has it',
  attention: 'attention',
  'attention-qv': 'attention, queries and values',
  mlp: 'feed-forward',
  'all-linear': 'all linear layers',
} as const;

export const SUFFIX = /^[a-z0-9][a-z0-9._-]{0,62}$/;

export function methodOf({ method, epochs, batchSize, rate }: Recipe): NonNullable<JobRequest['method']> {
  const hyperparameters = { n_epochs: epochs, batch_size: batchSize, learning_rate_multiplier: rate };
  switch (method) {
    case 'dpo':
      return { type: 'dpo', dpo: { hyperparameters } };
    case 'classification':
      return { type: 'classification', classification: { hyperparameters } };
    default:
      return { type: 'supervised', supervised: { hyperparameters } };
  }
}

export function peftOf({ peft, rank, targets }: Recipe): Peft {
  return {
    method: peft,
    ...(rank !== 'auto' && { rank }),
    ...(targets !== 'auto' && { target_modules: targets }),
  };
}

export function jobRequest(recipe: Recipe, trainingFile: string, validationFile: string | null): JobRequest {
  return {
    model: recipe.model,
    training_file: trainingFile,
    ...(validationFile !== null && { validation_file: validationFile }),
    ...(recipe.suffix !== '' && { suffix: recipe.suffix }),
    method: methodOf(recipe),
    peft: peftOf(recipe),
  };
}
