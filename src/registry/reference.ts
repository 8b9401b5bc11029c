import { fail, isDigest, isName, type Digest } from '../base/index.ts';

/** A parsed adapter reference. Without a selector it means the alias `latest`. */
export type AdapterReference =
  | { readonly kind: 'digest'; readonly digest: Digest }
  | { readonly kind: 'alias'; readonly tenant: string; readonly task: string; readonly alias: string | null }
  | { readonly kind: 'version'; readonly tenant: string; readonly task: string; readonly version: number };

/**
 * Reads `TENANT/TASK`, `TENANT/TASK@VERSION`, `TENANT/TASK@ALIAS` or `sha256:…`; undefined when `text` has none of these forms.
 */
export function parseReference(text: string): AdapterReference | undefined {
  if (isDigest(text)) return { kind: 'digest', digest: text };
  const [, tenant, task, selector] = /^([^/@]+)\/([^/@]+)(?:@([^/@]+))?$/.exec(text) ?? [];
  if (tenant === undefined || task === undefined || !isName(tenant) || !isName(task)) return undefined;
  if (selector === undefined) return { kind: 'alias', tenant, task, alias: null };
  if (/^[0-9]+$/.test(selector)) {
    const version = Number(selector);
    return Number.isSafeInteger(version) ? { kind: 'version', tenant, task, version } : undefined;
  }
  return isAlias(selector) ? { kind: 'alias', tenant, task, alias: selector } : undefined;
}

/** An alias is a name that cannot be taken for a version number. */
export function isAlias(text: string): boolean {
  return isName(text) && !/^[0-9]+$/.test(text);
}

/**
 * Where a page starts: behind the version that `after` names, which need not be there any more; from the first one without it.
 * @throws REQUEST_INVALID it names no version
 */
export function pageStart(after: string | undefined): Extract<AdapterReference, { kind: 'version' }> {
  if (after === undefined) return { kind: 'version', tenant: '', task: '', version: 0 };
  const reference = parseReference(after);
  if (reference?.kind === 'version') return reference;
  return fail('REQUEST_INVALID', `after must be TENANT/TASK@VERSION, the last of the page before, got "${after}"`, {
    param: 'after',
  });
}

/** The same for an adapter that is not there and for one of another tenant: names must not be guessable. */
export function failUnknown(reference: string): never {
  return fail('ADAPTER_NOT_FOUND', `no adapter "${reference}": give TENANT/TASK, TENANT/TASK@VERSION or sha256:…`, {
    param: 'model',
  });
}
