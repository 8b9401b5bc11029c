import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../base/index.ts';
import { FileCipher } from '../../storage/index.ts';
import type { AppConfig } from '../config.ts';
import { openPlatform } from '../platform.ts';
import { mark, markedKey } from './home-vault.ts';

export interface SealReport {
  readonly keyId: string;
  /** Files that were encrypted, or encrypted anew. */
  readonly sealed: number;
}

/**
 * Encrypts what a home has, or, when several keys are set, encrypts it anew with the first of them. No server may run meanwhile: jobs that are
 * in work begin again. Interrupted, it is run again.
 * @throws CONFIG_INVALID no key is set
 */
export async function encryptHome(config: AppConfig): Promise<SealReport> {
  const { home, encryptionKeys } = config;
  if (!encryptionKeys) fail('CONFIG_INVALID', 'set ESPALIER_ENCRYPTION_KEY first: openssl rand -hex 32 makes one');
  const { keyId } = new FileCipher(encryptionKeys);
  // From here on both are read, and what is written is encrypted.
  if (markedKey(home) === undefined) await mark(home, keyId);
  let sealed: number;
  {
    await using platform = await openPlatform(config);
    sealed = (await platform.registry.seal()) + (await platform.files.seal()) + (await platform.delivery.gates.seal());
  }
  for (const folder of ['adapters', 'jobs']) await rm(join(home, folder), { recursive: true, force: true });
  await mark(home, keyId);
  return { keyId, sealed };
}
