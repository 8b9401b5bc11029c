import { runJson } from './processes.ts';
import { writeTinyBase } from './tiny-base.ts';

/** Puts the base tiny, written to `folder`, and tenants with a writer's key each into `home`, by the command line. @returns the keys */
export async function makeTuningHome(
  home: string,
  folder: string,
  tenants: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  writeTinyBase(folder);
  await runJson(['models', 'import', folder, '--name', 'tiny'], { home });
  const keys = new Map<string, string>();
  for (const tenant of tenants) {
    await runJson(['tenants', 'create', tenant], { home });
    const { secret } = await runJson<{ secret: string }>(['keys', 'create', tenant, '--role', 'writer'], { home });
    keys.set(tenant, secret);
  }
  return keys;
}
