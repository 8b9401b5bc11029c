import { fail } from '../base/index.ts';
import { Tokenizer, type TokenRoles } from './tokenizer.ts';
import { checkMerge, invalid, type AddedTokenJson, type JsonObject, type TokenizerJson } from './tokenizer-json.ts';

/** Values of `tokenizer.ggml.token_type` that matter here (llama.cpp's `llama_token_type`). */
const CONTROL = 3;
const USER_DEFINED = 4;

interface Splitting {
  readonly preTokenizer: JsonObject;
  readonly normalizer: JsonObject | null;
  readonly ignoreMerges: boolean;
  /** Whether the model's Hugging Face tokenizer puts a beginning token before text when the file does not say. */
  readonly addsBos: boolean;
}

const BYTES_ONLY: JsonObject = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
const GPT2: JsonObject = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };

/** Words of the tiktoken family: contractions in any case, letters with one leading sign, numbers of up to `digits`, signs, white space. */
function tiktokenWords(digits: string): JsonObject {
  const contractions = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
  const words = String.raw`[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*`;
  const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;
  const split = {
    type: 'Split',
    pattern: { Regex: `${contractions}|${words}|${spaces}` },
    behavior: 'Isolated',
    invert: false,
  };
  return { type: 'Sequence', pretokenizers: [split, BYTES_ONLY] };
}

/** How each value of `tokenizer.ggml.pre` splits text, as the model's own `tokenizer.json` says it. */
const SPLITTINGS: Readonly<Record<string, Splitting>> = {
  'gpt-2': { preTokenizer: GPT2, normalizer: null, ignoreMerges: false, addsBos: false },
  smollm: {
    preTokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, GPT2] },
    normalizer: null,
    ignoreMerges: false,
    addsBos: false,
  },
  'llama-bpe': { preTokenizer: tiktokenWords('{1,3}'), normalizer: null, ignoreMerges: true, addsBos: true },
  qwen2: { preTokenizer: tiktokenWords(''), normalizer: { type: 'NFC' }, ignoreMerges: false, addsBos: false },
};

/**
 * The tokenizer that a GGUF file carries in its metadata (`tokenizer.ggml.*`).
 * @param where the file's name for messages
 * @throws TOKENIZER_INVALID naming the file and the key; MODEL_UNSUPPORTED for a kind of tokenizer that is not byte-level BPE
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, unknown>, where: string): Tokenizer {
  const { json, roles } = readGgufTokenizer(metadata, where);
  return new Tokenizer(json, roles, where);
}

/** The same as data. @throws what {@link tokenizerFromGguf} throws */
export function readGgufTokenizer(
  metadata: ReadonlyMap<string, unknown>,
  where: string,
): { readonly json: TokenizerJson; readonly roles: TokenRoles } {
  const model = metadata.get('tokenizer.ggml.model');
  if (model === undefined) invalid(where, 'has no tokenizer: the key tokenizer.ggml.model is missing');
  if (model !== 'gpt2') {
    fail(
      'MODEL_UNSUPPORTED',
      `${where}: tokenizer.ggml.model is ${JSON.stringify(model)}: only "gpt2" (byte-level BPE) is supported`,
    );
  }
  const pre = metadata.get('tokenizer.ggml.pre') ?? 'gpt-2';
  const splitting = typeof pre === 'string' && Object.hasOwn(SPLITTINGS, pre) ? SPLITTINGS[pre] : undefined;
  if (!splitting) {
    const known = Object.keys(SPLITTINGS).join(', ');
    fail('MODEL_UNSUPPORTED', `${where}: tokenizer.ggml.pre is ${JSON.stringify(pre)}: supported are ${known}`);
  }
  const tokens = stringArray(metadata, 'tokenizer.ggml.tokens', where);
  const vocab = new Map(tokens.map((token, id) => [token, id]));
  if (vocab.size !== tokens.length) {
    const twice = tokens.find((token, id) => vocab.get(token) !== id);
    invalid(where, `tokenizer.ggml.tokens has ${JSON.stringify(twice)} twice`);
  }
  const json: TokenizerJson = {
    normalizer: splitting.normalizer,
    preTokenizer: splitting.preTokenizer,
    postProcessor: null,
    addedTokens: addedTokens(metadata, tokens, where),
    vocab,
    merges: merges(metadata, vocab, where),
    ignoreMerges: splitting.ignoreMerges,
    unkToken: null,
  };
  return { json, roles: rolesOf(metadata, splitting, tokens.length, where) };
}

function rolesOf(
  metadata: ReadonlyMap<string, unknown>,
  splitting: Splitting,
  vocabSize: number,
  where: string,
): TokenRoles {
  const idAt = (key: string): number | null => {
    const value = metadata.get(`tokenizer.ggml.${key}_token_id`);
    if (value === undefined) return null;
    const id = typeof value === 'bigint' ? Number(value) : value;
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
    return invalid(where, `tokenizer.ggml.${key}_token_id is ${JSON.stringify(id)}: expected 0 to ${vocabSize - 1}`);
  };
  const bosId = idAt('bos');
  const addsBos = metadata.get('tokenizer.ggml.add_bos_token') ?? splitting.addsBos;
  return {
    bosId,
    eosIds: [...new Set(['eos', 'eot', 'eom'].map(idAt))].filter((id) => id !== null),
    padId: idAt('padding'),
    unkId: idAt('unknown'),
    addsBos: bosId !== null && addsBos === true,
  };
}

function addedTokens(
  metadata: ReadonlyMap<string, unknown>,
  tokens: readonly string[],
  where: string,
): AddedTokenJson[] {
  const types = metadata.get('tokenizer.ggml.token_type');
  if (types === undefined) return [];
  if (!isArrayLike(types) || types.length !== tokens.length) {
    invalid(where, `tokenizer.ggml.token_type must have one number for each of the ${tokens.length} tokens`);
  }
  const added: AddedTokenJson[] = [];
  for (const [id, content] of tokens.entries()) {
    const type = Number(types[id]);
    if (type !== CONTROL && type !== USER_DEFINED) continue;
    if (content === '') invalid(where, `tokenizer.ggml.tokens[${id}] is a control token without text`);
    added.push({ content, id, special: type === CONTROL, lstrip: false, rstrip: false, singleWord: false });
  }
  return added;
}

function merges(
  metadata: ReadonlyMap<string, unknown>,
  vocab: ReadonlyMap<string, number>,
  where: string,
): [string, string][] {
  return stringArray(metadata, 'tokenizer.ggml.merges', where).map((merge, index) => {
    // The space that parts the two tokens is never their first character: a space itself is written otherwise.
    const gap = merge.indexOf(' ', 1);
    if (gap < 0) invalid(where, `merge ${index} (${JSON.stringify(merge)}) must be two tokens`);
    const [left, right] = [merge.slice(0, gap), merge.slice(gap + 1)];
    checkMerge(left, right, index, vocab, where);
    return [left, right];
  });
}

function stringArray(metadata: ReadonlyMap<string, unknown>, key: string, where: string): string[] {
  const value = metadata.get(key);
  if (value === undefined) invalid(where, `has no ${key}`);
  if (!Array.isArray(value) || value.length === 0) invalid(where, `${key} must be a non-empty array of strings`);
  for (const [index, item] of value.entries()) {
    if (typeof item !== 'string') invalid(where, `${key}[${index}] must be a string`);
  }
  return value as string[];
}

function isArrayLike(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}
