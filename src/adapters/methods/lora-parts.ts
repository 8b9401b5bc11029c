/** What a LoRA trains outside of the layers' linear modules: tokens, whole modules, and updates of the embedding and the head. */
import { fail, type Rng } from '../../base/index.ts';
import {
  EMBEDDING_PATH,
  HEAD_PATH,
  idsOf,
  LORA_TOKEN_ROWS,
  savedModules,
  savedNames,
  tensorName,
  type LoraConfig,
} from '../../formats/index.ts';
import {
  normGain,
  normSites,
  type BaseModel,
  type LinearSite,
  type ModelConfig,
  type SiteHooks,
} from '../../model/index.ts';
import {
  addLowRankDelta,
  addRows,
  denseLinear,
  dropout,
  frozenLinear,
  gatherColumns,
  replaceColumns,
  replaceRows,
  type Floats,
  type Graph,
  type Tensor,
} from '../../numeric/index.ts';
import { requireTensor, type AdapterTensors, type ParameterSpec } from '../method.ts';
import type { CompiledAdapter } from '../primitives.ts';
import { loraTargets, withTying } from '../targets.ts';
import { gainHooks, tokenEmbedHook } from './base-parts.ts';
import { fillKaiming } from './initial-values.ts';
import { loraScales } from './lora-scales.ts';
import { EMBEDDING_A, EMBEDDING_B, HEAD_A, HEAD_B, isTied, TIED_PAIRS } from './tied-update.ts';
import { compileTokenRows, initialiseTokenRows, refuseUnknownTokens } from './trainable-tokens.ts';

/** PEFT may save the embedding as it was beside its update. */
const EMBEDDING_BASE = tensorName(EMBEDDING_PATH, 'base_layer.weight');
const savedName = (path: string): string => tensorName(path, 'weight');

/** How far the embedding that PEFT saved may be from the base's, of its norm: by the rounding of a base in bf16. */
const SAME_EMBEDDING = 1e-2;

/** The modules that are saved whole, a head that is tied to the embedding left out. */
function ownSaved(config: LoraConfig, base: { readonly config: ModelConfig }) {
  const saved = savedModules(savedNames(config, base), { config: base.config });
  return isTied(config, base.config) ? saved.filter(({ path }) => path !== HEAD_PATH) : saved;
}

/** PEFT saves a tied head once more. */
export function foldParts(config: LoraConfig, base: BaseModel, tensors: AdapterTensors): AdapterTensors {
  const table = isTied(config, base.config) ? tensors.get(savedName(EMBEDDING_PATH)) : undefined;
  return table ? new Map([...tensors, [savedName(HEAD_PATH), table]]) : tensors;
}

/** The tensors of these parts. @throws CONFIG_INVALID TARGET_UNMATCHED */
export function partParameters(config: LoraConfig, sites: readonly LinearSite[], model: ModelConfig): ParameterSpec[] {
  const { hiddenSize: D, vocabSize: V } = model;
  const { embedding, head } = withTying(config, loraTargets(config, sites), model);
  const isOne = isTied(config, model);
  const rankOf = (path: string): number => loraScales(config)(path).rank;
  const ids = idsOf(config.trainable_token_indices);
  refuseUnknownTokens(ids, model);
  const numTokens = ids.length;
  const ofEmbedding = rankOf(EMBEDDING_PATH);
  const ofHead = isOne ? ofEmbedding : rankOf(HEAD_PATH);
  return [
    ...(numTokens > 0 ? [{ name: LORA_TOKEN_ROWS, shape: [numTokens, D] }] : []),
    ...(embedding
      ? [
          { name: EMBEDDING_A, shape: [ofEmbedding, V] },
          { name: EMBEDDING_B, shape: [D, ofEmbedding], ...(isOne && { drawnAs: HEAD_A }) },
        ]
      : []),
    ...(head
      ? [
          { name: HEAD_A, shape: [ofHead, D] },
          { name: HEAD_B, shape: [V, ofHead] },
        ]
      : []),
    ...ownSaved(config, { config: model }).map(({ path, shape }) => ({ name: savedName(path), shape })),
  ];
}

/**
 * Writes the first value of a part, as PEFT does it: tokens and whole modules start as the base has them; of the embedding's update A is
 * zero and B is N(0, 1), or what the head's A begins as where the two are one.
 * @returns false for a tensor that is none of theirs
 */
export function initialisePart(
  config: LoraConfig,
  { name, shape }: ParameterSpec,
  values: Floats,
  rng: Rng,
  base: BaseModel,
): boolean {
  if (name === LORA_TOKEN_ROWS) {
    initialiseTokenRows(idsOf(config.trainable_token_indices), values, base);
  } else if (name === EMBEDDING_A) {
    values.fill(0);
  } else if (name === EMBEDDING_B && isTied(config, base.config)) {
    const [D, rank] = shape as [number, number];
    const ofHead = values.slice();
    drawA(config, ofHead, [rank, D], rng);
    for (let d = 0; d < D; d++) for (let r = 0; r < rank; r++) values[d * rank + r] = ofHead[r * D + d];
  } else if (name === EMBEDDING_B) {
    for (let i = 0; i < values.length; i++) values[i] = rng.nextNormal();
  } else if (name === HEAD_A) {
    drawA(config, values, shape, rng);
  } else if (name === HEAD_B) {
    values.fill(0);
  } else {
    const saved = ownSaved(config, base).find(({ path }) => savedName(path) === name);
    if (!saved) return false;
    values.set(baseWeight(base, saved.path));
  }
  return true;
}

/** The first value of a matrix A, [rank, in]: Kaiming-uniform, or N(0, 1/r) for `gaussian`. */
export function drawA(config: LoraConfig, values: Floats, [rank, inputs]: readonly number[], rng: Rng): void {
  if (config.init_lora_weights !== 'gaussian') fillKaiming(values, inputs, rng);
  else for (let i = 0; i < values.length; i++) values[i] = rng.nextNormal() / rank;
}

function baseWeight(base: BaseModel, path: string): Floats {
  if (path === EMBEDDING_PATH) return base.kernels.thaw(base.embedding);
  if (path === HEAD_PATH) return base.kernels.thaw(base.head);
  const site = normSites(base.config).find((norm) => norm.path === path);
  return site ? normGain(base, site).data : fail('INTERNAL', `the base has no module ${path}`);
}

/** The parts of an adapter as they are found in its tensors. */
interface Parts {
  readonly tokens: { readonly ids: readonly number[]; readonly rows_KD: Tensor } | undefined;
  readonly embedding: CompiledAdapter['embedding'];
  /** A is [R, V] as PEFT has it. */
  readonly embeddingUpdate: { readonly a_RV: Tensor; readonly b_DR: Tensor; readonly scale: number } | undefined;
  readonly head: CompiledAdapter['head'];
  readonly norms: ReadonlyMap<string, Tensor>;
}

function partsOf(config: LoraConfig, base: BaseModel, tensors: AdapterTensors): Parts {
  const { embedding, head } = withTying(config, loraTargets(config, base.sites), base.config);
  const scaleOf = loraScales(config);
  const ids = idsOf(config.trainable_token_indices);
  const saved = new Map(ownSaved(config, base).map(({ path }) => [path, requireTensor(tensors, savedName(path))]));
  const table = saved.get(EMBEDDING_PATH);
  const ofHead = isTied(config, base.config) ? table : saved.get(HEAD_PATH);
  saved.delete(EMBEDDING_PATH);
  saved.delete(HEAD_PATH);
  return {
    tokens: ids.length > 0 ? { ids, rows_KD: requireTensor(tensors, LORA_TOKEN_ROWS) } : undefined,
    embedding: table && { kind: 'table', table_VD: table },
    embeddingUpdate: embedding
      ? {
          a_RV: requireTensor(tensors, EMBEDDING_A),
          b_DR: requireTensor(tensors, EMBEDDING_B),
          scale: scaleOf(EMBEDDING_PATH).scale,
        }
      : undefined,
    head: head
      ? {
          kind: 'low-rank',
          a_RD: requireTensor(tensors, HEAD_A),
          b_VR: requireTensor(tensors, HEAD_B),
          scale: scaleOf(HEAD_PATH).scale,
        }
      : ofHead && { kind: 'table', table_VD: ofHead },
    norms: saved,
  };
}

/** The hooks of these parts on the tape. */
export function partHooks(
  config: LoraConfig,
  base: BaseModel,
  tensors: AdapterTensors,
  dropoutRng: Rng | undefined,
): Omit<SiteHooks, 'linear'> {
  const { tokens, embedding, embeddingUpdate, head, norms } = partsOf(config, base, tensors);
  const embeds: NonNullable<SiteHooks['embed']>[] = [];
  if (embedding?.kind === 'table') {
    const { table_VD } = embedding;
    embeds.push((g, { tokenIds_T }, x) => replaceRows(g, x, table_VD, { to: allRows(x), from: tokenIds_T }));
  }
  if (embeddingUpdate) {
    const { a_RV, b_DR, scale } = embeddingUpdate;
    embeds.push((g, { tokenIds_T }, x) => {
      const delta = denseLinear(g, gatherColumns(g, a_RV, tokenIds_T), b_DR);
      addRows(g, x, delta, { to: allRows(x), from: allRows(x) }, scale);
    });
  }
  if (tokens) embeds.push(tokenEmbedHook(tokens.ids, tokens.rows_KD));
  const replaced = tokens && base.config.tieEmbeddings ? tokens : undefined;
  const logits = (g: Graph, x: Tensor): Tensor => {
    const y = head?.kind === 'table' ? denseLinear(g, x, head.table_VD) : frozenLinear(g, x, base.head);
    if (head?.kind === 'low-rank') {
      const input = dropoutRng ? dropout(g, x, config.lora_dropout, dropoutRng) : x;
      addLowRankDelta(g, y, input, head.a_RD, head.b_VR, head.scale);
    }
    if (replaced) replaceColumns(g, y, denseLinear(g, x, replaced.rows_KD), Int32Array.from(replaced.ids));
    return y;
  };
  return {
    ...gainHooks(norms),
    ...(embeds.length > 0 && {
      embed(g, rows, x) {
        for (const embed of embeds) embed(g, rows, x);
      },
    }),
    ...((head ?? replaced) && { head: { logits } }),
  };
}

/** The parts as serving has them. @throws ADAPTER_INVALID for an update of another embedding than the base's */
export function compileParts(
  config: LoraConfig,
  base: BaseModel,
  tensors: AdapterTensors,
): Pick<CompiledAdapter, 'tokenRows' | 'embedding' | 'head' | 'norms'> {
  const { tokens, embedding, embeddingUpdate, head, norms } = partsOf(config, base, tensors);
  const kept = tensors.get(EMBEDDING_BASE);
  if (kept) requireSameEmbedding(kept, base);
  const ofHead = tensors.get(savedName(HEAD_PATH));
  if (isTied(config, base.config) && ofHead && head?.kind === 'table') requireEqual(ofHead, head.table_VD);
  if (isTied(config, base.config) && embeddingUpdate) requireTransposed(tensors);
  return {
    ...(tokens && { tokenRows: compileTokenRows(tokens.ids, tokens.rows_KD, base) }),
    ...(embedding && { embedding }),
    ...(embeddingUpdate && {
      embedding: {
        kind: 'low-rank',
        a_VR: transposed(embeddingUpdate.a_RV),
        b_DR: embeddingUpdate.b_DR,
        scale: embeddingUpdate.scale,
      },
    }),
    ...(head && { head }),
    ...(norms.size > 0 && { norms }),
  };
}

function requireSameEmbedding({ data }: Tensor, base: BaseModel): void {
  const own = base.kernels.thaw(base.embedding);
  let [difference, norm] = [0, 0];
  for (let i = 0; i < own.length; i++) {
    difference += (own[i] - data[i]) ** 2;
    norm += own[i] ** 2;
  }
  if (Math.sqrt(difference) <= SAME_EMBEDDING * Math.sqrt(norm)) return;
  fail(
    'ADAPTER_INVALID',
    `tensor ${EMBEDDING_BASE} is not the base's embedding: the adapter was made for another base`,
    {
      param: EMBEDDING_BASE,
    },
  );
}

function requireEqual(ofHead: Tensor, ofEmbedding: Tensor): void {
  if (ofHead.data.every((value, i) => value === ofEmbedding.data[i])) return;
  refuseDifferent(savedName(HEAD_PATH), savedName(EMBEDDING_PATH));
}

function requireTransposed(tensors: AdapterTensors): void {
  for (const [name, other] of TIED_PAIRS) {
    const turned = transposed(requireTensor(tensors, name)).data;
    if (!requireTensor(tensors, other).data.every((value, i) => value === turned[i])) refuseDifferent(other, name);
  }
}

function refuseDifferent(name: string, other: string): never {
  return fail(
    'ADAPTER_INVALID',
    `tensor ${name} differs from ${other}, but adapter_config.json has ensure_weight_tying`,
    {
      param: name,
    },
  );
}

function transposed({ shape: [R, V], data }: Tensor): Tensor {
  const columns = data.slice();
  for (let r = 0; r < R; r++) for (let v = 0; v < V; v++) columns[v * R + r] = data[r * V + v];
  return { shape: [V, R], data: columns };
}

function allRows({ shape: [T] }: Tensor): Int32Array {
  return Int32Array.from({ length: T }, (_, row) => row);
}
