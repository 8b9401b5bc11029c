import { Tokenizer, type TokenRoles } from './tokenizer.ts';
import {
  invalid,
  isObject,
  parseTokenizerJson,
  type AddedTokenJson,
  type JsonObject,
  type TokenizerJson,
} from './tokenizer-json.ts';

/** The files that may stand beside `tokenizer.json` in a Hugging Face folder, parsed. */
export interface TokenizerSideFiles {
  /** `tokenizer_config.json` */
  readonly config?: JsonObject;
  /** `special_tokens_map.json` */
  readonly specialTokensMap?: JsonObject;
  /** `generation_config.json`: its `eos_token_id` lists every token that ends an answer. */
  readonly generationConfig?: JsonObject;
}

/**
 * The tokenizer of a Hugging Face `tokenizer.json` and the files beside it.
 * @param where the file's name for messages
 * @throws TOKENIZER_INVALID naming the file and the thing that is wrong
 */
export function loadTokenizerJson(json: Uint8Array | string, where: string, files: TokenizerSideFiles = {}): Tokenizer {
  const parsed = parseTokenizerJson(json, where);
  const config = files.config ?? {};
  const merged: TokenizerJson = { ...parsed, addedTokens: mergeAddedTokens(parsed.addedTokens, config, where) };
  const idOf = (token: string): number | undefined =>
    merged.addedTokens.find(({ content }) => content === token)?.id ?? merged.vocab.get(token);
  const roleId = (role: string): number | null => {
    const token = tokenText(config[role]) ?? tokenText(files.specialTokensMap?.[role]);
    if (token === undefined) return null;
    return idOf(token) ?? invalid(where, `${role} is ${JSON.stringify(token)}, which is not in the vocabulary`);
  };
  const bosId = roleId('bos_token');
  const roles: TokenRoles = {
    bosId,
    eosIds: distinct([roleId('eos_token'), ...asIds(files.generationConfig?.['eos_token_id'])]),
    padId: roleId('pad_token'),
    unkId: roleId('unk_token'),
    addsBos:
      bosId !== null && (config['add_bos_token'] === true || postProcessorAdds(merged.postProcessor, bosId, idOf)),
  };
  return new Tokenizer(merged, roles, where);
}

/** `"<s>"` or an AddedToken object: both forms occur. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isObject(value) && typeof value['content'] === 'string' ? value['content'] : undefined;
}

/** `tokenizer_config.json` may add tokens, or mark them special, by `added_tokens_decoder`: id to token. */
function mergeAddedTokens(tokens: readonly AddedTokenJson[], config: JsonObject, where: string): AddedTokenJson[] {
  const byId = new Map(tokens.map((token) => [token.id, token]));
  const decoder = config['added_tokens_decoder'];
  for (const [key, token] of Object.entries(isObject(decoder) ? decoder : {})) {
    const id = Number(key);
    if (
      !Number.isInteger(id) ||
      id < 0 ||
      !isObject(token) ||
      typeof token['content'] !== 'string' ||
      token['content'] === ''
    ) {
      invalid(
        where,
        `tokenizer_config.json: added_tokens_decoder[${JSON.stringify(key)}] must be a token with an id and content`,
      );
    }
    byId.set(id, {
      content: token['content'],
      id,
      special: token['special'] === true,
      lstrip: token['lstrip'] === true,
      rstrip: token['rstrip'] === true,
      singleWord: token['single_word'] === true,
    });
  }
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

/** Whether a `TemplateProcessing` (alone or in a `Sequence`) puts the token before a single text. */
function postProcessorAdds(
  processor: JsonObject | null,
  id: number,
  idOf: (token: string) => number | undefined,
): boolean {
  if (!processor) return false;
  const { type, processors, single } = processor;
  if (type === 'Sequence' && Array.isArray(processors)) {
    return processors.some((inner) => isObject(inner) && postProcessorAdds(inner, id, idOf));
  }
  if (type !== 'TemplateProcessing' || !Array.isArray(single)) return false;
  const first: unknown = single[0];
  const special = isObject(first) ? first['SpecialToken'] : undefined;
  return isObject(special) && typeof special['id'] === 'string' && idOf(special['id']) === id;
}

function asIds(value: unknown): number[] {
  const values: unknown[] = Array.isArray(value) ? value : [value];
  return values.filter((id): id is number => typeof id === 'number');
}

function distinct(ids: readonly (number | null)[]): number[] {
  return [...new Set(ids.filter((id) => id !== null))];
}
