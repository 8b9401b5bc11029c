import type { Digest } from '../base/index.ts';

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** The base model that an adapter was trained on. The digest is its identity, the name is for people. */
export interface BaseReference {
  readonly name: string;
  readonly digest: Digest;
}

/** What a classifier gives. */
export interface Classes {
  /** In the order of its head's rows. */
  readonly labels: readonly string[];
  /** What it was trained on: texts as they are, or messages by the chat template; undefined where it is not known. */
  readonly reads?: 'text' | 'messages' | undefined;
}

/** One file of an artefact: a PEFT folder's `adapter_config.json`, `adapter_model.safetensors`… */
export interface AdapterFile {
  readonly name: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** What a tenant published, once and for all. Only aliases move. */
export interface AdapterVersion {
  readonly tenant: string;
  readonly task: string;
  /** 1, 2, 3… within the task; a number is never used again, also after a removal. */
  readonly version: number;
  /** Of the manifest: equal for equal files on an equal base, whoever published them. */
  readonly digest: Digest;
  readonly base: BaseReference;
  /** The PEFT method: `lora`, `ia3`… */
  readonly method: string;
  /** Null for methods that have none. */
  readonly rank: number | null;
  /** Trained parameters. */
  readonly parameters: number;
  /** Of a classifier; null for an adapter that gives tokens. */
  readonly classes: Classes | null;
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Scores such as `validLoss`. */
  readonly metrics: { readonly [name: string]: number };
  /** Where it came from: data digests, seed, hyperparameters, the run. */
  readonly provenance: { readonly [name: string]: JsonValue };
  readonly files: readonly AdapterFile[];
}

/** `TENANT/TASK@VERSION`. */
export function referenceOf({ tenant, task, version }: Pick<AdapterVersion, 'tenant' | 'task' | 'version'>): string {
  return `${tenant}/${task}@${version}`;
}
