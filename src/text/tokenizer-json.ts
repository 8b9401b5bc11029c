import { errorMessage, fail } from '../base/index.ts';

/**
 * The parts of a Hugging Face `tokenizer.json` that byte-level BPE needs, checked.
 * A tokenizer from a GGUF file is first brought into this form, so that there is one way from here on.
 */
export interface TokenizerJson {
  readonly normalizer: JsonObject | null;
  readonly preTokenizer: JsonObject;
  readonly postProcessor: JsonObject | null;
  readonly addedTokens: readonly AddedTokenJson[];
  /** Token to id: the ids are distinct. */
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [string, string])[];
  readonly ignoreMerges: boolean;
  readonly unkToken: string | null;
}

export interface AddedTokenJson {
  readonly content: string;
  readonly id: number;
  /** A control token: it steers the model, and text of users must never become one. */
  readonly special: boolean;
  /** The token takes the white space before (after) it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Matches only where no word character touches it. */
  readonly singleWord: boolean;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** More ids than any vocabulary has: bounds what a hostile file can make us allocate. */
const MAX_TOKEN_ID = 2 ** 22;

/**
 * Reads and checks a `tokenizer.json`.
 * @param where the file's name for messages
 * @throws TOKENIZER_INVALID naming the file and the thing that is wrong
 */
export function parseTokenizerJson(json: Uint8Array | string, where: string): TokenizerJson {
  const root = parseObject(json, where);
  const model = asObject(root['model'], where, 'model');
  const type = model['type'] ?? (Array.isArray(model['merges']) ? 'BPE' : undefined);
  if (type !== 'BPE') {
    invalid(where, `model.type is ${JSON.stringify(type)}: only "BPE" (byte-level) is supported`);
  }
  const vocab = parseVocab(asObject(model['vocab'], where, 'model.vocab'), where);
  const merges = parseMerges(model['merges'], vocab, where);
  const addedTokens = parseAddedTokens(root['added_tokens'] ?? [], where);
  const preTokenizer = optionalObject(root['pre_tokenizer'], where, 'pre_tokenizer');
  if (!preTokenizer || !isByteLevel(preTokenizer)) {
    invalid(
      where,
      'pre_tokenizer has no ByteLevel step: only byte-level BPE is supported, not SentencePiece or WordPiece',
    );
  }
  for (const field of ['continuing_subword_prefix', 'end_of_word_suffix'] as const) {
    if (model[field]) invalid(where, `model.${field} is ${JSON.stringify(model[field])}: byte-level BPE has none`);
  }
  const unkToken = model['unk_token'];
  return {
    normalizer: optionalObject(root['normalizer'], where, 'normalizer'),
    preTokenizer,
    postProcessor: optionalObject(root['post_processor'], where, 'post_processor'),
    addedTokens,
    vocab,
    merges,
    ignoreMerges: model['ignore_merges'] === true,
    unkToken: typeof unkToken === 'string' && vocab.has(unkToken) ? unkToken : null,
  };
}

/** A JSON object from a file's bytes. @throws TOKENIZER_INVALID naming the file */
function parseObject(json: Uint8Array | string, where: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(typeof json === 'string' ? json : new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    invalid(where, `is not valid JSON (cut off?): ${errorMessage(cause)}`, cause);
  }
  return asObject(value, where, 'the file');
}

/** Checks what both sources must keep: each merge joins two tokens into a third. @throws TOKENIZER_INVALID naming the merge */
export function checkMerge(
  left: string,
  right: string,
  index: number,
  vocab: ReadonlyMap<string, number>,
  where: string,
): void {
  for (const token of [left, right, left + right]) {
    if (!vocab.has(token)) {
      invalid(
        where,
        `merge ${index} (${JSON.stringify(`${left} ${right}`)}) needs ${JSON.stringify(token)}, which is not in the vocabulary`,
      );
    }
  }
}

export function invalid(where: string, problem: string, cause?: unknown): never {
  fail('TOKENIZER_INVALID', `${where}: ${problem}`, cause === undefined ? {} : { cause });
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asObject(value: unknown, where: string, name: string): JsonObject {
  return isObject(value) ? value : invalid(where, `${name} must be an object, it is ${kindOf(value)}`);
}

function optionalObject(value: unknown, where: string, name: string): JsonObject | null {
  return value === null || value === undefined ? null : asObject(value, where, name);
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}

function parseVocab(entries: JsonObject, where: string): Map<string, number> {
  const vocab = new Map<string, number>();
  const tokenOf = new Map<number, string>();
  for (const [token, id] of Object.entries(entries)) {
    checkId(id, where, `model.vocab[${JSON.stringify(token)}]`);
    const other = tokenOf.get(id);
    if (other !== undefined)
      invalid(where, `model.vocab gives id ${id} to both ${JSON.stringify(other)} and ${JSON.stringify(token)}`);
    tokenOf.set(id, token);
    vocab.set(token, id);
  }
  if (vocab.size === 0) invalid(where, 'model.vocab is empty');
  return vocab;
}

/** Merges are `"a b"` in older files and `["a", "b"]` in newer ones. */
function parseMerges(value: unknown, vocab: ReadonlyMap<string, number>, where: string): [string, string][] {
  if (!Array.isArray(value)) invalid(where, `model.merges must be an array, it is ${kindOf(value)}`);
  return value.map((entry: unknown, index) => {
    const pair: unknown[] = typeof entry === 'string' ? entry.split(' ') : Array.isArray(entry) ? entry : [];
    const [left, right] = pair;
    if (pair.length !== 2 || typeof left !== 'string' || typeof right !== 'string') {
      invalid(where, `merge ${index} must be two tokens, it is ${JSON.stringify(entry)}`);
    }
    checkMerge(left, right, index, vocab, where);
    return [left, right];
  });
}

function parseAddedTokens(value: unknown, where: string): AddedTokenJson[] {
  if (!Array.isArray(value)) invalid(where, `added_tokens must be an array, it is ${kindOf(value)}`);
  return value.map((entry: unknown, index) => {
    const name = `added_tokens[${index}]`;
    const token = asObject(entry, where, name);
    const { content, id } = token;
    if (typeof content !== 'string' || content === '') invalid(where, `${name}.content must be a non-empty string`);
    checkId(id, where, `${name}.id`);
    return {
      content,
      id,
      special: token['special'] === true,
      lstrip: token['lstrip'] === true,
      rstrip: token['rstrip'] === true,
      singleWord: token['single_word'] === true,
    };
  });
}

function checkId(id: unknown, where: string, name: string): asserts id is number {
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > MAX_TOKEN_ID) {
    invalid(where, `${name} must be a whole number from 0 to ${MAX_TOKEN_ID}, it is ${JSON.stringify(id)}`);
  }
}

function isByteLevel(preTokenizer: JsonObject): boolean {
  if (preTokenizer['type'] === 'ByteLevel') return true;
  const steps = preTokenizer['pretokenizers'];
  return (
    preTokenizer['type'] === 'Sequence' &&
    Array.isArray(steps) &&
    steps.some((step) => isObject(step) && isByteLevel(step))
  );
}
