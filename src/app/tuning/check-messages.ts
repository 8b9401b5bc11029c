import type { Problem, RemoteError } from '../../base/index.ts';
import type { DescribedExamples } from '../data-preview.ts';

/** A file to look at. */
export interface CheckRequest {
  readonly id: number;
  readonly path: string;
  /** Names it in errors. */
  readonly name: string;
  /** With it, the examples are also rendered and their lengths held against what the base takes. */
  readonly base: {
    readonly path: string;
    readonly contextLength: number;
    /** All that labelled examples may have; the file's own when missing. */
    readonly labels?: readonly string[] | undefined;
  } | null;
  /** With it and a base, what is in the file is described with so many of its examples. */
  readonly preview?: number | undefined;
}

export interface DescribedData extends DescribedExamples {
  /** Of the file, and of what it repeats. */
  readonly warnings: readonly Problem[];
}

/** What has been found. Tokens are 0 where no base was given. */
export interface CheckedData {
  readonly form: string;
  readonly examples: number;
  readonly tokens: number;
  /** Of labelled examples: the names of their labels, where a base was given. */
  readonly labels?: readonly string[] | undefined;
  /** Where it was asked for. */
  readonly described?: DescribedData | undefined;
}

export type CheckAnswer = { readonly id: number } & ({ readonly data: CheckedData } | { readonly error: RemoteError });
