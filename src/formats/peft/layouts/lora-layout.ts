import type { Problem } from '../../../base/index.ts';
import type { LoraConfig } from '../configs/lora-config.ts';
import { idsOf } from '../configs/token-indices.ts';
import { patternPath } from '../parameter-targets.ts';
import { patternMatcher } from '../pattern-matcher.ts';
import {
  describeSite,
  EMBEDDING_PATH,
  HEAD_PATH,
  moduleByName,
  shapeText as text,
  tensorName,
  type AdapterSite,
  type ExpectedTensor,
  type Shapes,
  type TensorLayout,
} from './tensor-layout.ts';
import { expectedSaved, savedModuleOf, savedNames } from './saved-modules.ts';
import { expectedTokenRows, tokenMisfits } from './token-layout.ts';

const LORA_BIAS = /\.lora_[AB]\.bias$/;

/** Tensors of other methods and settings, by their last parts: named in the error. */
const UNSUPPORTED: readonly (readonly [end: RegExp, what: string])[] = [
  [/\.lora_magnitude_vector(?:\.weight)?$/, 'is DoRA’s, but adapter_config.json has use_dora false'],
  [LORA_BIAS, 'is a bias on lora_B, but adapter_config.json has lora_bias false'],
  [/\.trainable_tokens_delta$/, 'is of trained tokens, but adapter_config.json has no trainable_token_indices'],
  [/\.lora_E$|\.lora_[AB]$/, 'is not supported yet (AdaLoRA, or a layer that is not linear)'],
  [/\.experts\..*lora_[AB]\.weight$/, 'is not supported yet (LoRA on experts)'],
];

const loraKeys = (path: string): { readonly A: string; readonly B: string; readonly bias: string } => ({
  A: tensorName(path, 'lora_A.weight'),
  B: tensorName(path, 'lora_B.weight'),
  bias: tensorName(path, 'lora_B.bias'),
});

/** A bias of the base that is trained: PEFT has that of an adapted layer inside of its own. */
export function biasName({ path }: AdapterSite, isAdapted: boolean): string {
  return tensorName(path, isAdapted ? ADAPTED_BIAS : OTHER_BIAS);
}
const ADAPTED_BIAS = 'base_layer.bias';
const OTHER_BIAS = 'bias';

/** DoRA's magnitudes, [out]. */
const magnitudeKey = (path: string): string => tensorName(path, 'lora_magnitude_vector');

/** Rows of trained tokens beside LoRA's matrices, [K, D]. */
export const LORA_TOKEN_ROWS = tensorName(EMBEDDING_PATH, 'token_adapter.trainable_tokens_delta');

/** LoRA's and DoRA's tensors: A[r, in], B[out, r], with lora_bias a bias [out], with use_dora magnitudes [out], with bias those of the base, [out]. */
export function loraLayout(config: LoraConfig): TensorLayout {
  const { lora_bias, use_dora, bias } = config;
  const numTokens = idsOf(config.trainable_token_indices).length;
  const suffixes = [
    'lora_A.weight',
    'lora_B.weight',
    ...(lora_bias ? ['lora_B.bias'] : []),
    ...(use_dora ? ['lora_magnitude_vector'] : []),
    ...(bias === 'none' ? [] : [ADAPTED_BIAS]),
  ];
  const rankOf = rankMatcher(config);
  const everySaved = savedNames(config, { config: { tieEmbeddings: true } });
  return {
    moduleOf(name) {
      if (numTokens > 0 && name === LORA_TOKEN_ROWS) return EMBEDDING_PATH;
      if (name.includes('.experts.')) return undefined;
      const ofEmbedding = moduleByName(name, EMBEDDING_SUFFIXES);
      if (ofEmbedding === EMBEDDING_PATH) return ofEmbedding;
      const ofModule = savedModuleOf(name, everySaved) ?? moduleByName(name, suffixes);
      if (ofModule !== undefined || bias !== 'all' || LORA_BIAS.test(name)) return ofModule;
      return moduleByName(name, [OTHER_BIAS]);
    },

    expected(targets, base) {
      const adapted = new Set(targets.map(({ path }) => path));
      const isTied = config.ensure_weight_tying && base.config.tieEmbeddings;
      const ofModules = targets.flatMap((site): ExpectedTensor[] => {
        // A head that is tied to the embedding has its matrices, whatever is said of its own rank.
        const rank = rankOf(isTied && site.path === HEAD_PATH ? EMBEDDING_PATH : site.path);
        const [keys, whose] = [loraKeys(site.path), describeSite(site)];
        if (site.path === EMBEDDING_PATH) return expectedOfEmbedding(site, rank);
        return [
          { name: keys.A, shape: [rank, site.in], whose },
          { name: keys.B, shape: [site.out, rank], whose },
          ...(lora_bias ? [{ name: keys.bias, shape: [site.out], whose }] : []),
          ...(use_dora ? [{ name: magnitudeKey(site.path), shape: [site.out], whose }] : []),
        ];
      });
      const ofBiases = base.sites.flatMap((site): ExpectedTensor[] => {
        const isAdapted = adapted.has(site.path);
        if (!site.hasBias || !(bias === 'all' || (bias === 'lora_only' && isAdapted))) return [];
        return [{ name: biasName(site, isAdapted), shape: [site.out], whose: `the bias of ${describeSite(site)}` }];
      });
      return [
        ...ofModules,
        ...ofBiases,
        ...(numTokens > 0 ? [expectedTokenRows(LORA_TOKEN_ROWS, numTokens, base)] : []),
        ...expectedSaved(savedNames(config, base), base),
      ];
    },

    problems: (tensors) => checkRanks(tensors, config, rankOf),

    misfits: (base) => tokenMisfits('trainable_token_indices', idsOf(config.trainable_token_indices), base),

    explain(name) {
      const [, what] = UNSUPPORTED.find(([end]) => end.test(name)) ?? [];
      if (what === undefined && name.endsWith('.bias')) {
        return `is a bias of the base, which adapter_config.json with bias ${JSON.stringify(bias)} does not train`;
      }
      return what ?? 'belongs to no adapted module: expected names like …q_proj.lora_A.weight';
    },
  };
}

const EMBEDDING_SUFFIXES = ['lora_embedding_A', 'lora_embedding_B', 'base_layer.weight'];

/** The update of the embedding W[V, D], A[r, V] and B[D, r], and the embedding as it was, which PEFT may save beside it. */
function expectedOfEmbedding({ path, in: V, out: D }: AdapterSite, rank: number): ExpectedTensor[] {
  const whose = `${path}, which has ${V} tokens of ${D} numbers`;
  return [
    { name: tensorName(path, 'lora_embedding_A'), shape: [rank, V], whose },
    { name: tensorName(path, 'lora_embedding_B'), shape: [D, rank], whose },
    { name: tensorName(path, 'base_layer.weight'), shape: [V, D], whose, isOptional: true },
  ];
}

/** Each module's rank: rank_pattern's, or r. @throws CONFIG_INVALID when a key of rank_pattern is not a regular expression */
function rankMatcher(config: LoraConfig): (path: string) => number {
  const rankOf = patternMatcher(config.rank_pattern, 'rank_pattern');
  return (path) => rankOf(patternPath(config, path)) ?? config.r;
}

/** Partners, and ranks as the config has them: needs no base. */
function checkRanks(tensors: Shapes, { ensure_weight_tying }: LoraConfig, rankOf: (path: string) => number): Problem[] {
  const problems: Problem[] = [];
  const report = (where: string, message: string): void => void problems.push({ where, message });
  const paths = [...tensors.keys()].flatMap((name) => moduleByName(name, ['lora_A.weight', 'lora_B.weight']) ?? []);
  for (const path of new Set(paths)) {
    const keys = loraKeys(path);
    const [a, b] = [tensors.get(keys.A)?.shape, tensors.get(keys.B)?.shape];
    if (!a || !b) {
      const [missing, there] = a ? [keys.B, keys.A] : [keys.A, keys.B];
      report(missing, `tensor ${missing} is missing: its partner ${there} is there`);
      continue;
    }
    // Of a head that may be tied to the embedding the base decides.
    const rank = ensure_weight_tying && path === HEAD_PATH ? a[0] : rankOf(path);
    const message = describeRank(keys, a, b, rank);
    if (message) report(keys.A, message);
  }
  return problems;
}

function describeRank(
  keys: { A: string; B: string },
  a: readonly number[],
  b: readonly number[],
  rank: number,
): string | undefined {
  const shapes = `tensors ${keys.A} ${text(a)} and ${keys.B} ${text(b)}`;
  if (a.length !== 2 || b.length !== 2) return `${shapes}: expected two dimensions each, [r, in] and [out, r]`;
  if (a[0] === rank && b[1] === rank) return undefined;
  if (a[1] === rank && b[0] === rank)
    return `${shapes} are transposed: with rank ${rank} expected [${rank}, in] and [out, ${rank}]`;
  if (a[0] !== b[1]) return `${shapes} do not fit each other: expected [r, in] and [out, r] with r = ${rank}`;
  return `${shapes} have rank ${a[0]}, but adapter_config.json (r, rank_pattern) says ${rank}`;
}
