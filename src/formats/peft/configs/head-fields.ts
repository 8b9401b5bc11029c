/** The fields that say whether an adapter classifies, and which modules of the base it has whole copies of: a classifier's head is one. */
import { z } from 'zod';
import { CLASSIFICATION, CLASSIFIER_MODULES } from '../classifier.ts';
import { show } from '../../json.ts';

/** Null is PEFT's way to leave it open: then an adapter answers with tokens. */
export const taskType = z
  .enum(['CAUSAL_LM', CLASSIFICATION], {
    error: `is not supported yet: expected "CAUSAL_LM", "${CLASSIFICATION}" or null`,
  })
  .nullable()
  .default(null);

/** Of a method that cannot classify. */
export const causalTask = (why: string) =>
  z
    .literal('CAUSAL_LM', { error: `is not possible (${why}): expected "CAUSAL_LM" or null` })
    .nullable()
    .default(null);

/** PEFT writes the head's names twice where it adds them to those that are there. An empty list is its null. */
const asSet = (names: readonly string[] | null): string[] | null =>
  names === null || names.length === 0 ? null : [...new Set(names)];

const HEAD_ERROR = { error: 'is not supported yet (fully trained modules other than the head of a classifier)' };
const headName = z.string(HEAD_ERROR).refine((name) => CLASSIFIER_MODULES.includes(name), HEAD_ERROR);

/** Of a method beside which no module of the base is trained, only a classifier's head. */
export const headModules = z.array(headName, HEAD_ERROR).nullable().default(null).transform(asSet);

const SAVED = ['lm_head', 'embed_tokens', 'model.embed_tokens', 'norm', 'model.norm'];
const SAVED_NORMS = ['input_layernorm', 'post_attention_layernorm', 'q_norm', 'k_norm'];
const SAVED_NAMES: readonly string[] = [...SAVED, ...SAVED_NORMS, ...CLASSIFIER_MODULES];
const SAVED_ERROR = { error: `is not supported yet for other modules than ${SAVED_NAMES.join(', ')}` };
const savedName = z.string(SAVED_ERROR).refine((name) => SAVED_NAMES.includes(name), SAVED_ERROR);

/** Modules of the base that an adapter has whole, trained copies of. */
export const modulesToSave = z.array(savedName, SAVED_ERROR).nullable().default(null).transform(asSet);

/** A classifier has its own head and none of the base's; who is none has no `score`. */
export function headConflicts(config: {
  readonly task_type?: string | null;
  readonly modules_to_save?: readonly string[] | null;
}): { readonly param: string; readonly message: string }[] {
  const { task_type, modules_to_save: saved } = config;
  const wrong = (name: string): boolean =>
    task_type === CLASSIFICATION ? name.endsWith('lm_head') : CLASSIFIER_MODULES.includes(name);
  const found = saved?.find(wrong);
  if (found === undefined) return [];
  const message = `modules_to_save has ${found}, which a model of the task_type ${show(task_type)} does not have`;
  return [{ param: 'modules_to_save', message }];
}
