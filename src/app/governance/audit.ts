import {
  verifyChain,
  type AuditHead,
  type AuditLog,
  type AuditPage,
  type AuditRecord,
  type AuditVerdict,
} from '../../audit/index.ts';
import type { AuditServices } from '../../http/index.ts';
import type { AppConfig } from '../config.ts';
import { openPlatform } from '../platform.ts';

/** The log over HTTP. What a tenant asks about another is answered as about nobody. */
export function makeAuditServices(audit: AuditLog): AuditServices {
  return {
    list({ tenant: own }, { limit, after, tenant }) {
      if (own !== null && tenant !== undefined && tenant !== own) return { items: [], hasMore: false };
      return own === null ? audit.list({ tenant, limit, after }) : audit.listOwn(own, { limit, after });
    },
  };
}

/** The latest entries of the log, of one tenant or of all. */
export async function listAudit(config: AppConfig, query: AuditPage): Promise<readonly AuditRecord[]> {
  await using platform = await openPlatform(config);
  return platform.audit.list(query).items;
}

/** Computes every hash of the log anew. See {@link verifyChain}. */
export async function verifyAudit(config: AppConfig, known: AuditHead | undefined): Promise<AuditVerdict> {
  await using platform = await openPlatform(config);
  return verifyChain(platform.audit, known);
}
