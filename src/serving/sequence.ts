import { Rng } from '../base/index.ts';
import type { CompiledAdapter } from '../adapters/index.ts';
import { PromptRows } from './prompt-rows.ts';
import type { GenerateRequest } from './request.ts';

/**
 * A request on its way: the scheduler closes the gap between `numComputed` and `numTokens`. There is no prefill and no decode
 * mode. The scheduler admits and frees it, `commit` appends tokens; nobody else writes it.
 */
export class Sequence {
  readonly request: GenerateRequest;
  readonly adapter: CompiledAdapter;
  readonly rng: Rng;
  /** What the request reads of its prompt's rows; most requests read nothing. */
  readonly promptRows: PromptRows | undefined;
  /** Prompt and generated tokens. */
  readonly tokenIds: number[];
  /** How many of them have keys and values in the cache. */
  numComputed = 0;
  /** The blocks that hold them; empty while waiting. */
  blocks: Int32Array = new Int32Array(0);

  /** The most tokens that it can come to hold in the cache. */
  readonly maxTokens: number;

  /** @param maxTokens what the server can hold of one sequence; a request without a limit may fill it */
  constructor(request: GenerateRequest, adapter: CompiledAdapter, maxTokens: number) {
    this.maxTokens = request.maxTokens === null ? maxTokens : request.promptTokenIds.length + request.maxTokens;
    this.request = request;
    this.adapter = adapter;
    this.promptRows = PromptRows.of(request);
    this.rng = Rng.fromSeed(request.sampling.seed, 'sample');
    this.tokenIds = [...request.promptTokenIds];
  }

  get numTokens(): number {
    return this.tokenIds.length;
  }

  get numGenerated(): number {
    return this.tokenIds.length - this.request.promptTokenIds.length;
  }
}
