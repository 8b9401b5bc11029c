import type { JobRequest } from '../../api/types.ts';

/** What the wizard has been told. `auto` leaves it to the server. */
export interface Recipe {
  readonly model: string;
  readonly method: 'supervised' | 'dpo';
  readonly epochs: number | 'auto';
  readonly batchSize: number | 'auto';
  readonly rate: number | 'auto';
  readonly suffix: string;
}

export const SUFFIX = /^[a-z0-9][a-z0-9._-]{0,62}$/;

export function methodOf({ method, epochs, batchSize, rate }: Recipe): NonNullable<JobRequest['method']> {
  const hyperparameters = { n_epochs: epochs, batch_size: batchSize, learning_rate_multiplier: rate };
  return method === 'dpo'
    ? { type: 'dpo', dpo: { hyperparameters } }
    : { type: 'supervised', supervised: { hyperparameters } };
}

export function jobRequest(recipe: Recipe, trainingFile: string, validationFile: string | null): JobRequest {
  return {
    model: recipe.model,
    training_file: trainingFile,
    ...(validationFile !== null && { validation_file: validationFile }),
    ...(recipe.suffix !== '' && { suffix: recipe.suffix }),
    method: methodOf(recipe),
  };
}
