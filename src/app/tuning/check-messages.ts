import type { RemoteError } from '../../base/index.ts';

/** A file to look at. */
export interface CheckRequest {
  readonly id: number;
  readonly path: string;
  /** Names it in errors. */
  readonly name: string;
  /** With it, the examples are also rendered and their lengths held against what the base takes. */
  readonly base: { readonly path: string; readonly contextLength: number } | null;
}

/** What has been found. Tokens are 0 where no base was given. */
export interface CheckedData {
  readonly form: string;
  readonly examples: number;
  readonly tokens: number;
}

export type CheckAnswer = { readonly id: number } & ({ readonly data: CheckedData } | { readonly error: RemoteError });
