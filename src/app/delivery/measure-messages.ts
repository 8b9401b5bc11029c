import type { RemoteError } from '../../base/index.ts';
import type { GateScore } from '../../delivery/index.ts';
import type { AppConfig } from '../config.ts';
import type { EvaluateOptions } from '../evaluate.ts';

/** What the measuring thread starts with. */
export interface MeasureRequest {
  readonly config: AppConfig;
  readonly options: EvaluateOptions;
}

/** The one message that it sends. */
export type MeasureAnswer = { readonly score: GateScore } | { readonly error: RemoteError };
