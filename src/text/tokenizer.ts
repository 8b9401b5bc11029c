import { createHash } from 'node:crypto';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { assert, errorMessage, fail, type Digest } from '../base/index.ts';
import { fromByteAlphabet, toByteAlphabet } from './byte-alphabet.ts';
import { splittingSteps } from './pre-tokenizer.ts';
import { AddedTokenSplitter } from './special-tokens.ts';
import { invalid, type TokenizerJson } from './tokenizer-json.ts';

export interface EncodeOptions {
  /**
   * Whether the names of control tokens (`<|im_end|>`) in the text become these tokens. Only text that we made ourselves may:
   * with `false` they are encoded as the plain characters that a user typed.
   */
  readonly allowSpecial: boolean;
}

export interface DecodeOptions {
  readonly skipSpecial: boolean;
}

/** Which tokens have a role; what a GGUF file and `tokenizer_config.json` say beside the vocabulary. */
export interface TokenRoles {
  readonly bosId: number | null;
  /** Tokens that end a turn or a text: generation stops at each of them. */
  readonly eosIds: readonly number[];
  readonly padId: number | null;
  readonly unkId: number | null;
  /** Whether the model expects the beginning-of-sequence token before a plain text. (Chat templates write it themselves.) */
  readonly addsBos: boolean;
}

/** Distinct words whose tokens are remembered: a language's common words many times over, some tens of megabytes. */
const MAX_CACHED_WORDS = 200_000;
/** Longer words are rare (base64, ...): remembering them would only fill the cache. */
const MAX_CACHED_WORD_LENGTH = 64;

/** Byte-level BPE between text and token ids: the ids are those of Hugging Face's `tokenizers`. Immutable but for its cache. */
export class Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
  readonly padId: number | null;
  readonly unkId: number | null;
  readonly addsBos: boolean;
  /** Content address of everything that decides ids: vocabulary, merges, added tokens, splitting, roles. */
  readonly digest: Digest;
  /** Finds control tokens in text. */
  readonly special: AddedTokenSplitter;
  readonly #json: TokenizerJson;
  readonly #library: LibraryTokenizer;
  readonly #plain: AddedTokenSplitter;
  readonly #all: AddedTokenSplitter;
  readonly #idOf: Map<string, number>;
  readonly #tokenOf: (string | undefined)[];
  readonly #bytesOf: (Uint8Array | undefined)[];
  readonly #specialIds: ReadonlySet<number>;
  #cache = new Map<string, readonly number[]>();

  /** @throws TOKENIZER_INVALID naming the file and the step that is not supported */
  constructor(json: TokenizerJson, roles: TokenRoles, where: string) {
    this.#json = json;
    this.#library = buildLibraryTokenizer(json, where);
    const { addedTokens } = json;
    this.special = new AddedTokenSplitter(addedTokens.filter(({ special }) => special));
    this.#plain = new AddedTokenSplitter(addedTokens.filter(({ special }) => !special));
    this.#all = new AddedTokenSplitter(addedTokens);
    this.#specialIds = new Set(addedTokens.filter(({ special }) => special).map(({ id }) => id));
    this.#idOf = new Map(json.vocab);
    this.#tokenOf = [];
    this.#bytesOf = [];
    for (const [token, id] of json.vocab) {
      this.#tokenOf[id] = token;
      this.#bytesOf[id] = fromByteAlphabet(token);
    }
    const utf8 = new TextEncoder();
    for (const { content, id } of addedTokens) {
      this.#idOf.set(content, id);
      this.#tokenOf[id] = content;
      this.#bytesOf[id] = utf8.encode(content);
    }
    this.vocabSize = this.#tokenOf.length;
    ({ bosId: this.bosId, eosIds: this.eosIds, padId: this.padId, unkId: this.unkId, addsBos: this.addsBos } = roles);
    for (const id of [this.bosId, this.padId, this.unkId, ...this.eosIds]) {
      if (id !== null && this.#tokenOf[id] === undefined)
        invalid(where, `token id ${id} has a role but is not in the vocabulary`);
    }
    this.digest = digestOf(json, roles);
  }

  /** The ids of a text. Lone surrogates, which UTF-8 cannot hold, count as U+FFFD. No beginning or end token is added. */
  encode(text: string, { allowSpecial }: EncodeOptions): Int32Array {
    const ids: number[] = [];
    this.appendEncoded(text, { allowSpecial }, ids);
    return Int32Array.from(ids);
  }

  /** Like {@link encode}, onto the end of `ids`. */
  appendEncoded(text: string, { allowSpecial }: EncodeOptions, ids: number[]): void {
    for (const piece of (allowSpecial ? this.#all : this.#plain).split(text.toWellFormed())) {
      if ('id' in piece) ids.push(piece.id);
      else this.#appendWords(piece.text, ids);
    }
  }

  /** The text of ids; bytes that are not UTF-8 become U+FFFD. @throws REQUEST_INVALID for an id outside the vocabulary */
  decode(ids: Iterable<number>, { skipSpecial }: DecodeOptions): string {
    const parts: Uint8Array[] = [];
    for (const id of ids) {
      if (!(skipSpecial && this.#specialIds.has(id))) parts.push(this.tokenBytes(id));
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(parts));
  }

  /**
   * The bytes that a token stands for (possibly a part of a character); none for an id that the vocabulary leaves out below
   * {@link vocabSize}. @throws REQUEST_INVALID for an id outside the vocabulary
   */
  tokenBytes(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0)
      fail('REQUEST_INVALID', `${id} is not a token id: expected 0 to ${this.vocabSize - 1}`);
    // Models pad their embedding rows past the vocabulary: such an id can be sampled and stands for nothing.
    return this.#bytesOf[id] ?? new Uint8Array(0);
  }

  /** The id of a token as the vocabulary writes it (`Ġthe`, `<|im_end|>`). */
  idOf(token: string): number | undefined {
    return this.#idOf.get(token);
  }

  /** The token of an id as the vocabulary writes it. */
  tokenOf(id: number): string | undefined {
    return this.#tokenOf[id];
  }

  /** Whether the id is a control token's. */
  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  #appendWords(text: string, ids: number[]): void {
    const { normalizer, pre_tokenizer: split } = this.#library;
    assert(split, 'a byte-level tokenizer splits');
    const normalized = normalizer ? normalizer.normalize(text) : text;
    for (const word of split.pre_tokenize(normalized)) {
      let wordIds = this.#cache.get(word);
      if (!wordIds) {
        wordIds = this.#encodeWord(word);
        if (word.length <= MAX_CACHED_WORD_LENGTH) {
          if (this.#cache.size >= MAX_CACHED_WORDS) this.#cache = new Map();
          this.#cache.set(word, wordIds);
        }
      }
      for (const id of wordIds) ids.push(id);
    }
  }

  #encodeWord(word: string): readonly number[] {
    const { model } = this.#library;
    assert(model, 'a byte-level tokenizer has a model');
    const symbols = toByteAlphabet(word);
    // Some vocabularies lack a few bytes. As in Hugging Face such a byte is left out before its neighbours are merged.
    const known =
      this.#json.unkToken === null
        ? Array.from(symbols)
            .filter((symbol) => this.#json.vocab.has(symbol))
            .join('')
        : symbols;
    if (known === '') return [];
    return model.encode([known]).map((token: string) => {
      const id = this.#json.vocab.get(token);
      assert(id !== undefined, `the tokenizer library made the token ${JSON.stringify(token)}`);
      return id;
    });
  }
}

/** The library does normalisation, splitting and merging; added tokens and the byte alphabet are handled here. */
function buildLibraryTokenizer(json: TokenizerJson, where: string): LibraryTokenizer {
  const definition = {
    normalizer: json.normalizer,
    pre_tokenizer: splittingSteps(json.preTokenizer, where),
    post_processor: null,
    decoder: null,
    added_tokens: [],
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(json.vocab),
      merges: json.merges,
      unk_token: json.unkToken,
      ignore_merges: json.ignoreMerges,
    },
  };
  try {
    return new LibraryTokenizer(definition, {});
  } catch (cause) {
    return invalid(where, errorMessage(cause), cause);
  }
}

function digestOf(json: TokenizerJson, roles: TokenRoles): Digest {
  const { vocab, ...rest } = json;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([...vocab].sort(([, a], [, b]) => a - b)));
  hash.update(JSON.stringify({ ...rest, postProcessor: null }));
  hash.update(JSON.stringify([roles.bosId, roles.eosIds, roles.padId, roles.unkId, roles.addsBos]));
  return `sha256:${hash.digest('hex')}`;
}
