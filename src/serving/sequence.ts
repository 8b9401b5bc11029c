import { Rng } from '../base/index.ts';
import type { CompiledAdapter } from '../adapters/index.ts';
import type { GrammarProgress } from '../numeric/index.ts';
import type { SequenceLength } from './admission-checks.ts';
import type { PrefixNode } from './cache/prefix-cache.ts';
import { PromptRows } from './prompt-rows.ts';
import type { GenerateRequest } from './request.ts';
import { Drafts } from './speculation/drafts.ts';

/**
 * A request on its way: the scheduler closes the gap between `numComputed` and `numTokens`. There is no prefill and no decode
 * mode. Positions 0..numVirtual are the adapter's virtual tokens, then come the prompt's and the generated ones. The scheduler admits
 * and preempts it, the cache writes its blocks, the engine appends tokens; nobody else writes it.
 */
export class Sequence {
  readonly request: GenerateRequest;
  readonly adapter: CompiledAdapter;
  readonly rng: Rng;
  /** The most positions that it can come to hold. */
  readonly maxTokens: number;
  /** What the generated tokens must follow; most sequences have none. Recomputing a sequence does not touch it. Written by the engine. */
  constraint: GrammarProgress | undefined;
  /** Guesses its next tokens, so that a step can check several; undefined where nothing is guessed. */
  readonly drafts: Drafts | undefined;
  /** What the request reads of its prompt's rows; most requests read nothing. */
  readonly promptRows: PromptRows | undefined;
  /** Prompt and generated tokens, without the virtual ones. */
  readonly tokenIds: number[];
  /** How many positions have keys and values in the cache. */
  numComputed = 0;

  /** Its tenant was forgotten meanwhile: what it computes stays with it. Written by the engine. */
  isForgotten = false;

  /** The blocks that hold them; empty while waiting. Written by kv-cache.ts, as are the next three. */
  blocks: number[] = [];
  /** The first of `blocks` that belong to the prefix cache, and are only read. */
  numShared = 0;
  /** The last of those; the root of its tenant and adapter when there are none; null while waiting. */
  prefix: PrefixNode | null = null;
  /** The exact contents of its full blocks, as far as they were asked for. */
  readonly blockKeys: string[] = [];

  /** Written by the scheduler, as are the next five: its place in the order of arrival, unique. */
  order = -1;
  arrivedMs = 0;
  /** Since when it waits: its arrival, or when it was preempted. */
  waitingSinceMs = 0;
  /** Whether it has ever run. */
  hasBegun = false;
  /** How long it waited to begin, first. */
  queuedMs = 0;
  /** Of its prompt's tokens, those that were in the cache when it began. */
  cachedTokens = 0;

  /**
   * @param maxTokens what the server can hold of one sequence; a request without a limit may fill it
   * @param longestDraft tokens that may be guessed at a time
   */
  constructor(request: GenerateRequest, adapter: CompiledAdapter, maxTokens: number, longestDraft = 0) {
    this.request = request;
    this.adapter = adapter;
    this.promptRows = PromptRows.of(request);
    this.drafts = longestDraft > 0 ? new Drafts(longestDraft, request.predictionTokenIds) : undefined;
    this.rng = Rng.fromSeed(request.sampling.seed, 'sample');
    this.tokenIds = [...request.promptTokenIds];
    this.maxTokens = request.maxTokens === null ? maxTokens : this.numPrompt + request.maxTokens;
  }

  get tenant(): string | null {
    return this.request.tenant ?? null;
  }

  get priority(): number {
    return this.request.priority ?? 0;
  }

  /** Virtual tokens of the adapter. */
  get numVirtual(): number {
    return this.adapter.virtual?.count ?? 0;
  }

  /** Positions whose keys and values the adapter brings: they are copied, not computed. */
  get numGiven(): number {
    return this.adapter.virtual?.kind === 'key-values' ? this.numVirtual : 0;
  }

  /** As it comes, before anything is generated. */
  get length(): SequenceLength {
    const { promptTokenIds, maxTokens } = this.request;
    return { promptTokens: promptTokenIds.length, numVirtual: this.numVirtual, maxTokens };
  }

  /** Positions before the first generated token. */
  get numPrompt(): number {
    return this.numVirtual + this.request.promptTokenIds.length;
  }

  get numTokens(): number {
    return this.numVirtual + this.tokenIds.length;
  }

  get numGenerated(): number {
    return this.tokenIds.length - this.request.promptTokenIds.length;
  }

  /** Rows that are still to be computed before its next token. */
  get numMissing(): number {
    return this.numTokens - Math.max(this.numComputed, this.numGiven);
  }
}
