/**
 * Caps on what a file from outside may claim. Each is checked before anything of that size is allocated, and lies well above every
 * real file and well below what would hurt: a claim past it is a mistake or an attack.
 */
const KIB = 1024;
const MIB = 1024 * KIB;

/** The safetensors format itself caps its header here. */
export const MAX_SAFETENSORS_HEADER_BYTES = 100_000_000;
/** Tensors of one file: a 1,000-layer mixture of experts in one file has fewer. */
export const MAX_TENSORS = 1_000_000;
/** Dimensions of a safetensors tensor: real ones have at most 5. */
export const MAX_DIMENSIONS = 16;
/** Bytes of a tensor's name: the longest real ones are below 200. */
export const MAX_NAME_BYTES = 1 * KIB;
/** How deep the JSON of a safetensors header may go: tensor, data_offsets, number. */
export const MAX_HEADER_DEPTH = 8;

/** Key-value pairs of a GGUF file: real ones have about 40. */
export const MAX_GGUF_PAIRS = 65_536;
/** The GGUF specification caps a key at 2^16 - 1 bytes. */
export const MAX_GGUF_KEY_BYTES = 65_535;
/** A string value: the longest real ones are chat templates and licences. */
export const MAX_GGUF_STRING_BYTES = 16 * MIB;
/** Elements of all arrays together: the largest vocabularies have 256k tokens, with scores, types and about as many merges. */
export const MAX_GGUF_ARRAY_ELEMENTS = 8_000_000;
/** Arrays in arrays: real files have none. */
export const MAX_GGUF_ARRAY_DEPTH = 4;
/** ggml knows four dimensions. */
export const MAX_GGUF_DIMENSIONS = 4;
/** Alignments in use are 32 and a page. */
export const MAX_GGUF_ALIGNMENT = 1 * MIB;

/** A config file (config.json, adapter_config.json): real ones have a few KiB. */
export const MAX_CONFIG_BYTES = 4 * MIB;
/** A shard index: about 100 bytes for each tensor. */
export const MAX_INDEX_BYTES = 64 * MIB;
/** Nesting of any JSON: far below what overflows the stack, far above what data sets and configs have. */
export const MAX_JSON_DEPTH = 64;
/** Nesting of a request's body: a tool's JSON schema takes three levels for each one of what it describes. */
export const MAX_BODY_DEPTH = 256;

/** A training file: OpenAI's own limit for an upload. */
export const MAX_TRAINING_FILE_BYTES = 512 * MIB;
/** A line of a training file: about 4 million tokens, more than any context holds. */
export const MAX_LINE_BYTES = 16 * MIB;
/** Problems that are listed before reading stops: nobody repairs more by hand. */
export const MAX_PROBLEMS = 10_000;

/** LoRA's r: the widest layers of open models have 2^14 to 2^16 inputs, and an adapter of such a rank is no adapter. */
export const MAX_RANK = 4096;
/** Entries of rank_pattern and alpha_pattern: one for each linear layer of a deep model. */
export const MAX_PATTERN_ENTRIES = 2048;
/** The weights of one adapter: a full-rank update of a 7B model in float32 has more, and is no adapter. */
export const MAX_ADAPTER_BYTES = 4096 * MIB;
/** Labels of a classifier: the largest public sets of intents and topics have some thousand. */
export const MAX_LABELS = 16_384;
/** Characters of a label: a name, not a text. */
export const MAX_LABEL_LENGTH = 256;
/** Names in target_modules and the like. */
export const MAX_MODULE_NAMES = 4096;
/** Characters of a regular expression for module paths. */
export const MAX_REGEX_LENGTH = 2048;
/** Parts of its syntax tree with counted repetitions written out, which multiply. */
export const MAX_REGEX_NODES = 2048;
/** Characters that are matched: a module path has below 100. */
export const MAX_REGEX_TEXT_LENGTH = 512;
/** Virtual tokens of prompt and prefix tuning: published ones have up to some hundred, and each takes a place of the context. */
export const MAX_VIRTUAL_TOKENS = 65_536;
/** Tokens whose embeddings are trained: more than that is a trained embedding. */
export const MAX_TRAINED_TOKENS = 65_536;
