import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomicSync } from '../base/index.ts';
import { readGgufTokenizer } from './gguf-tokenizer.ts';
import { ggufMetadata, isFolder } from './open.ts';
import type { TokenRoles } from './tokenizer.ts';
import type { JsonObject, TokenizerJson } from './tokenizer-json.ts';

/** Files of a Hugging Face folder that say how text becomes tokens and where answers end. */
const TOKENIZER_FILES =
  'tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json merges.txt tokenizer.model chat_template.jinja generation_config.json'.split(
    ' ',
  );

/**
 * Writes the tokenizer of a base, with its chat template and the tokens that end an answer, as a Hugging Face folder has it: the files of a
 * folder as they are, those of a GGUF file made of its metadata.
 * @throws TOKENIZER_INVALID MODEL_UNSUPPORTED FILE_NOT_FOUND
 */
export function writeTokenizerFiles(path: string, target: string): void {
  if (isFolder(path)) {
    for (const name of TOKENIZER_FILES) {
      if (existsSync(join(path, name))) copyFileSync(join(path, name), join(target, name));
    }
    return;
  }
  const metadata = ggufMetadata(path);
  const { json, roles } = readGgufTokenizer(metadata, path);
  const template = metadata.get('tokenizer.chat_template');
  const files: Readonly<Record<string, JsonObject>> = {
    'tokenizer.json': huggingFaceJson(json, roles),
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      add_bos_token: roles.addsBos,
      ...roleNames(json, roles),
      ...(typeof template === 'string' && { chat_template: template }),
    },
    'generation_config.json': {
      ...(roles.bosId !== null && { bos_token_id: roles.bosId }),
      eos_token_id: roles.eosIds,
      ...(roles.padId !== null && { pad_token_id: roles.padId }),
    },
  };
  for (const [name, content] of Object.entries(files)) {
    writeFileAtomicSync(join(target, name), [Buffer.from(`${JSON.stringify(content, null, 2)}\n`)]);
  }
}

/** The format of Hugging Face's `tokenizers`, version 1.0. */
function huggingFaceJson(json: TokenizerJson, { addsBos, bosId }: TokenRoles): JsonObject {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: json.addedTokens.map(({ id, content, special, lstrip, rstrip, singleWord }) => ({
      id,
      content,
      single_word: singleWord,
      lstrip,
      rstrip,
      normalized: false,
      special,
    })),
    normalizer: json.normalizer,
    pre_tokenizer: withOffsets(json.preTokenizer),
    post_processor: addsBos && bosId !== null ? beginsWith(tokenNames(json).get(bosId) ?? '', bosId) : null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: json.unkToken,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: json.ignoreMerges,
      vocab: Object.fromEntries(json.vocab),
      merges: json.merges,
    },
  };
}

/** Hugging Face's reader wants to know of every ByteLevel step whether offsets leave out white space, which changes no token. */
function withOffsets(step: JsonObject): JsonObject {
  const { pretokenizers } = step;
  if (Array.isArray(pretokenizers)) return { ...step, pretokenizers: (pretokenizers as JsonObject[]).map(withOffsets) };
  return step['type'] === 'ByteLevel' ? { ...step, trim_offsets: true } : step;
}

/** Puts a token before a text. */
function beginsWith(token: string, id: number): JsonObject {
  const special = { SpecialToken: { id: token, type_id: 0 } };
  const text = (name: string, type: number): JsonObject => ({ Sequence: { id: name, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [special, text('A', 0)],
    pair: [special, text('A', 0), { SpecialToken: { id: token, type_id: 1 } }, text('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

function roleNames(json: TokenizerJson, { bosId, eosIds, padId, unkId }: TokenRoles): JsonObject {
  const names = tokenNames(json);
  const roles = { bos_token: bosId, eos_token: eosIds[0] ?? null, pad_token: padId, unk_token: unkId };
  return Object.fromEntries(
    Object.entries(roles).flatMap(([role, id]) => (id === null ? [] : [[role, names.get(id)]])),
  );
}

function tokenNames({ vocab, addedTokens }: TokenizerJson): Map<number, string> {
  const names = new Map([...vocab].map(([token, id]) => [id, token]));
  for (const { id, content } of addedTokens) names.set(id, content);
  return names;
}
