import { Rng } from '../base/index.ts';
import type { CompiledAdapter } from '../adapters/index.ts';
import type { GenerateRequest } from './request.ts';

/**
 * A request on its way: the scheduler closes the gap between `numComputed` and `numTokens`. There is no prefill and no decode
 * mode. The scheduler admits and frees it, `commit` appends tokens; nobody else writes it.
 */
export class Sequence {
  readonly request: GenerateRequest;
  readonly adapter: CompiledAdapter;
  readonly rng: Rng;
  /** Prompt and generated tokens. */
  readonly tokenIds: number[];
  /** How many of them have keys and values in the cache. */
  numComputed = 0;
  /** The blocks that hold them; empty while waiting. */
  blocks: Int32Array = new Int32Array(0);

  constructor(request: GenerateRequest, adapter: CompiledAdapter) {
    this.request = request;
    this.adapter = adapter;
    this.rng = Rng.fromSeed(request.sampling.seed, 'sample');
    this.tokenIds = [...request.promptTokenIds];
  }

  get numTokens(): number {
    return this.tokenIds.length;
  }

  get numGenerated(): number {
    return this.tokenIds.length - this.request.promptTokenIds.length;
  }

  /** The most tokens that it can come to hold in the cache. */
  get maxTokens(): number {
    return this.request.promptTokenIds.length + this.request.maxTokens;
  }
}
