import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import { openGguf, readJsonFile } from '../formats/index.ts';
import { CompiledTemplate, type TemplateTokens } from './chat-template.ts';
import { tokenizerFromGguf } from './gguf-tokenizer.ts';
import { loadTokenizerJson, tokenText, type TokenizerSideFiles } from './load-tokenizer.ts';
import { ChatRenderer } from './render.ts';
import type { Tokenizer } from './tokenizer.ts';
import { invalid, isObject, type JsonObject } from './tokenizer-json.ts';

const MIB = 2 ** 20;
/** Real ones have up to about 35 MB. */
const MAX_TOKENIZER_BYTES = 128 * MIB;
/** Real templates have up to about 20 kB. */
const MAX_TEMPLATE_BYTES = 1 * MIB;

/**
 * The tokenizer of a base model: a Hugging Face folder or a GGUF file.
 * @throws FILE_NOT_FOUND TOKENIZER_INVALID MODEL_UNSUPPORTED FILE_INVALID
 */
export function openTokenizer(path: string): Tokenizer {
  return isFolder(path) ? loadTokenizerJson(...folderFiles(path)) : tokenizerFromGguf(ggufMetadata(path), path);
}

/**
 * Tokenizer and chat template of a base model: a Hugging Face folder or a GGUF file.
 * @throws what {@link openTokenizer} throws; MODEL_INVALID when there is no chat template
 */
export function openChatRenderer(path: string): ChatRenderer {
  return isFolder(path) ? rendererOfFolder(path) : rendererOfGguf(path);
}

function rendererOfFolder(path: string): ChatRenderer {
  const [json, where, files] = folderFiles(path);
  const tokenizer = loadTokenizerJson(json, where, files);
  const { config = {}, specialTokensMap = {} } = files;
  const text = (role: string): string | undefined => tokenText(config[role]) ?? tokenText(specialTokensMap[role]);
  const templateFile = join(path, 'chat_template.jinja');
  const source = existsSync(templateFile)
    ? new TextDecoder().decode(readBounded(templateFile, MAX_TEMPLATE_BYTES))
    : defaultTemplate(config['chat_template']);
  if (source === undefined) {
    fail(
      'MODEL_INVALID',
      `${path}: has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): use an instruct model`,
    );
  }
  const tokens = templateTokens({
    bos_token: text('bos_token'),
    eos_token: text('eos_token'),
    pad_token: text('pad_token'),
    unk_token: text('unk_token'),
  });
  return new ChatRenderer(tokenizer, new CompiledTemplate(source, tokens, path));
}

function rendererOfGguf(path: string): ChatRenderer {
  const metadata = ggufMetadata(path);
  const tokenizer = tokenizerFromGguf(metadata, path);
  const source = metadata.get('tokenizer.chat_template');
  if (typeof source !== 'string') {
    fail('MODEL_INVALID', `${path}: has no chat template (the key tokenizer.chat_template): use an instruct model`);
  }
  const text = (id: number | null | undefined): string | undefined =>
    typeof id === 'number' ? tokenizer.tokenOf(id) : undefined;
  const tokens = templateTokens({
    bos_token: text(tokenizer.bosId),
    eos_token: text(tokenizer.eosIds[0]),
    pad_token: text(tokenizer.padId),
    unk_token: text(tokenizer.unkId),
  });
  return new ChatRenderer(tokenizer, new CompiledTemplate(source, tokens, path));
}

/** Older folders have one template or a list of named ones, of which `default` is for chats. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const named: unknown = Array.isArray(value)
    ? value.find((entry) => isObject(entry) && entry['name'] === 'default')
    : undefined;
  return isObject(named) && typeof named['template'] === 'string' ? named['template'] : undefined;
}

function folderFiles(path: string): [json: Uint8Array, where: string, files: TokenizerSideFiles] {
  const where = join(path, 'tokenizer.json');
  const config = sideFile(join(path, 'tokenizer_config.json'));
  const specialTokensMap = sideFile(join(path, 'special_tokens_map.json'));
  const generationConfig = sideFile(join(path, 'generation_config.json'));
  const files = {
    ...(config && { config }),
    ...(specialTokensMap && { specialTokensMap }),
    ...(generationConfig && { generationConfig }),
  };
  return [readBounded(where, MAX_TOKENIZER_BYTES), where, files];
}

function sideFile(path: string): JsonObject | undefined {
  if (!existsSync(path)) return undefined;
  const value = readJsonFile(path);
  return isObject(value) ? value : invalid(path, 'must be a JSON object');
}

function readBounded(path: string, maxBytes: number): Uint8Array {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status?.isFile()) fail('FILE_NOT_FOUND', `${path}: there is no such file`);
  if (status.size > maxBytes) fail('FILE_INVALID', `${path}: has ${status.size} bytes, expected at most ${maxBytes}`);
  return readFileSync(path);
}

export function ggufMetadata(path: string): ReadonlyMap<string, unknown> {
  using file = openGguf(path);
  return file.metadata;
}

export function isFolder(path: string): boolean {
  return (
    statSync(path, { throwIfNoEntry: false })?.isDirectory() ??
    fail('FILE_NOT_FOUND', `${path}: there is no such file or folder`)
  );
}

function templateTokens(tokens: { readonly [K in keyof TemplateTokens]: string | undefined }): TemplateTokens {
  return Object.fromEntries(Object.entries(tokens).filter(([, text]) => text !== undefined));
}
