import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail, systemClock } from '../../base/index.ts';
import { FileCipher, openVault, writeFileAtomic, type Vault } from '../../storage/index.ts';

/** Says that a home is encrypted, and with which key: its id tells nothing about it. */
const MARKER = 'encryption.json';

/**
 * How the files of a home are kept; undefined: as they are.
 * @throws CONFIG_INVALID the home is encrypted and there is no key, or another one; or a key is set for a home that is not encrypted
 */
export async function openHomeVault(home: string, keys: readonly Uint8Array[] | undefined): Promise<Vault | undefined> {
  const keyId = markedKey(home);
  if (!keys) {
    if (keyId === undefined) return undefined;
    return fail('CONFIG_INVALID', `${home} is encrypted with the key ${keyId}: set ESPALIER_ENCRYPTION_KEY`);
  }
  const cipher = new FileCipher(keys);
  if (keyId === undefined) {
    if (hasFiles(home)) {
      fail('CONFIG_INVALID', `${home} has files that are not encrypted: run "espalier home encrypt" once`);
    }
    await mark(home, cipher.keyId);
  } else if (!cipher.knows(keyId)) {
    fail(
      'CONFIG_INVALID',
      `${home} is encrypted with the key ${keyId}, ESPALIER_ENCRYPTION_KEY has ${cipher.keyId}: set the right one`,
    );
  }
  return openVault(home, cipher, systemClock);
}

/** The id of the key with which a home is encrypted; undefined: it is not. @throws CONFIG_INVALID */
export function markedKey(home: string): string | undefined {
  const path = join(home, MARKER);
  if (!existsSync(path)) return undefined;
  const { keyId } = JSON.parse(readFileSync(path, 'utf8')) as { readonly keyId?: unknown };
  return typeof keyId === 'string'
    ? keyId
    : fail('CONFIG_INVALID', `${path} does not name a key: restore it from a copy`);
}

/** Says that a home is encrypted. */
export function mark(home: string, keyId: string): Promise<void> {
  return writeFileAtomic(join(home, MARKER), `${JSON.stringify({ keyId })}\n`);
}

function hasFiles(home: string): boolean {
  return ['blobs', 'files'].some((name) => existsSync(join(home, name)) && readdirSync(join(home, name)).length > 0);
}
