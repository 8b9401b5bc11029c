import { assert, fail } from '../base/index.ts';
import { referenceOf, type AdapterVersion } from '../registry/index.ts';
import type { ChatEngine } from './answering/asking.ts';

/** A base in memory, with the engine that computes on it. */
export interface ServedBase extends ChatEngine {
  readonly name: string;
  readonly digest: string;
  /** When the server started, in seconds since 1970. */
  readonly created: number;
}

/** The bases of one server. An adapter is served on the base that it was made for, which its digest names, and on no other. */
export class ServedBases {
  readonly all: readonly ServedBase[];
  readonly #byName: ReadonlyMap<string, ServedBase>;
  readonly #byDigest: ReadonlyMap<string, ServedBase>;

  constructor(bases: readonly ServedBase[]) {
    this.all = bases;
    this.#byName = new Map(bases.map((base) => [base.name, base]));
    this.#byDigest = new Map(bases.map((base) => [base.digest, base]));
    assert(this.#byName.size === bases.length && this.#byDigest.size === bases.length, 'each base is served once');
  }

  get names(): string {
    return this.all.map(({ name }) => name).join(', ');
  }

  find(name: string): ServedBase | undefined {
    return this.#byName.get(name);
  }

  /** Of a base that a resolved model names. */
  ofDigest(digest: string): ServedBase {
    const base = this.#byDigest.get(digest);
    assert(base, 'a model is resolved to a base of this server');
    return base;
  }

  has({ base }: AdapterVersion): boolean {
    return this.#byDigest.has(base.digest);
  }

  /** @throws ADAPTER_NOT_FOUND the version belongs to a base that is not served here */
  ofVersion(version: AdapterVersion): ServedBase {
    const base = this.#byDigest.get(version.base.digest);
    if (base) return base;
    const { name, digest } = version.base;
    const served = this.all.map((one) => `${one.name} (${one.digest})`).join(', ');
    return fail(
      'ADAPTER_NOT_FOUND',
      `${referenceOf(version)} belongs to the base ${name} (${digest}), this server has ${served}`,
      {
        param: 'model',
      },
    );
  }
}
