import type { CatalogueServices, ListedVersion } from '../../http/index.ts';
import type { AdapterVersion } from '../../registry/index.ts';
import type { Platform } from '../platform.ts';

/** The published versions, for those who may see them. */
export function makeCatalogueServices({
  registry,
  tenants,
}: Pick<Platform, 'registry' | 'tenants'>): CatalogueServices {
  const listed = (version: AdapterVersion): ListedVersion => ({
    version,
    aliases: registry.aliasesOf(version),
    tags: registry.tagsOf(version),
  });
  return {
    list({ tenant: asking }, tenant, search) {
      // A foreign tenant and one that does not exist look the same.
      if (tenant !== null && asking !== null && asking !== tenant) tenants.refuseUnknown(tenant);
      if (tenant !== null) tenants.get(tenant);
      return registry.search(tenant ?? asking, search).map(listed);
    },
    show({ tenant }, reference) {
      const version = registry.resolve(tenant, reference);
      return { ...listed(version), history: registry.history(version.tenant, version.task) };
    },
  };
}
