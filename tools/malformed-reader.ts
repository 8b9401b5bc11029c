/**
 * The child of check-malformed.ts: reads one file as its kind and prints one line of JSON, {verdict, message, peakMib}. Only an EspalierError is
 * a refusal; anything else that is thrown is a crash, as is a changed Object.prototype.
 */
import { basename, dirname } from 'node:path';
import { EspalierError } from '../src/base/index.ts';
import {
  checkAgainstBase,
  checkBaseName,
  openGguf,
  openSafetensors,
  readJsonFile,
  readPeftFolder,
  readShardIndex,
  readTrainingFile,
  readWholeFile,
} from '../src/formats/index.ts';

const BASE_NAME = 'HuggingFaceTB/SmolLM2-135M-Instruct';
/** The shape of that base. */
const BASE_CONFIG = {
  model_type: 'llama',
  vocab_size: 49_152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  rms_norm_eps: 1e-5,
  rope_theta: 100_000,
  max_position_embeddings: 8192,
  tie_word_embeddings: true,
};

/** Reads a file whole, as its user would, and returns what it has to say about an accepted one. */
type Reader = (path: string) => string | Promise<string>;

const READERS: Readonly<Record<string, Reader>> = {
  train_files(path) {
    const { form, examples, warnings } = readTrainingFile(path);
    const warned = warnings.map(({ where, message }) => `${where}: warning: ${message}`);
    return [`${examples.length} ${form} examples`, ...warned].join('; ');
  },

  safetensors(path) {
    using file = openSafetensors(path);
    const sizes = [...file.tensors.keys()].map((name) => `${name}: ${file.readFloats(name).length} values`);
    return sizes.join(', ');
  },

  async gguf(path) {
    const { parseGgufConfig } = await import('../src/model/index.ts');
    using file = openGguf(path);
    for (const name of file.tensors.keys()) file.readFloats(name);
    const tokens = file.metadata.get('tokenizer.ggml.tokens');
    const vocabSize = Array.isArray(tokens) ? tokens.length : 0;
    const config = parseGgufConfig(
      file.metadata,
      (name) => file.tensors.has(name),
      { vocabSize, ropeFactors: null },
      path,
    );
    return `${config.family} with ${config.numLayers} layers`;
  },

  async adapters(path) {
    const { linearSites, parseModelConfig } = await import('../src/model/index.ts');
    const { targetsOf } = await import('../src/adapters/index.ts');
    const folder = readPeftFolder(path);
    const config = parseModelConfig(BASE_CONFIG, 'config.json');
    const base = { config, sites: linearSites(config) };
    checkAgainstBase(folder, { directory: path, targets: targetsOf(folder.config, base.sites), base });
    return checkBaseName(folder.config, BASE_NAME) ?? `${folder.tensors.size} tensors`;
  },

  async model_files(path) {
    const name = basename(path);
    if (name.startsWith('config')) {
      const { parseModelConfig } = await import('../src/model/index.ts');
      return parseModelConfig(readJsonFile(path), path).family;
    }
    if (name.startsWith('tokenizer')) {
      const { loadTokenizerJson } = await import('../src/text/index.ts');
      loadTokenizerJson(readWholeFile(path, 64 * 2 ** 20), path);
      return `a tokenizer of ${dirname(path)}`;
    }
    return readShardIndex(path).files.join(', ');
  },
};

const [kind = '', path = ''] = process.argv.slice(2);
const read = READERS[kind];
if (!read) throw new Error(`no reader for the folder ${kind}`);
let outcome: { verdict: 'accept' | 'reject'; message: string };
try {
  outcome = { verdict: 'accept', message: await read(path) };
} catch (error) {
  if (!(error instanceof EspalierError) || error.code === 'INTERNAL') throw error;
  outcome = { verdict: 'reject', message: error.message };
}
if (Object.keys(Object.prototype).length > 0 || 'polluted' in {}) throw new Error('Object.prototype was changed');
const peakMib = Math.round(process.resourceUsage().maxRSS / 1024);
process.stdout.write(`${JSON.stringify({ ...outcome, peakMib })}\n`);
