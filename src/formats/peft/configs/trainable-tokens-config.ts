import { z } from 'zod';
import { commonFields, decidingFields, flag, parseFields } from './config-fields.ts';
import { causalTask } from './head-fields.ts';
import { EMBEDDING_NAMES, tokenIds } from './token-indices.ts';

const EMBEDDING = { error: `must be one of ${EMBEDDING_NAMES.join('|')}: other modules are not supported yet` };
const embeddingName = z.string(EMBEDDING).refine((name) => EMBEDDING_NAMES.includes(name), EMBEDDING);

const schema = z.strictObject({
  peft_type: z.literal('TRAINABLE_TOKENS'),
  ...commonFields,
  task_type: causalTask('PEFT saves no head beside trained tokens'),
  token_indices: tokenIds,
  target_modules: z
    .union([embeddingName, z.array(embeddingName).length(1, EMBEDDING)], EMBEDDING)
    .nullable()
    .default(null),
  init_weights: flag.default(true),
});

/** PEFT's TrainableTokensConfig: rows of the embedding that are replaced, `token_indices` in the order of the rows. */
export type TrainableTokensConfig = Readonly<z.output<typeof schema>>;

/** @throws ADAPTER_INVALID with one problem for each field that is wrong */
export function parseTrainableTokensConfig(json: Record<string, unknown>, where: string): TrainableTokensConfig {
  return parseFields(schema, json, { where, method: 'TrainableTokens' });
}

/** The fields that decide what is served. */
export function trainableTokensIdentity(config: TrainableTokensConfig): Readonly<Record<string, unknown>> {
  return decidingFields(config, ['peft_type', 'token_indices']);
}
