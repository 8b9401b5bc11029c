import type { ApiClient } from '../api/client.ts';

/** What the key may do, so that nothing else is offered. The server decides all the same. */
export interface Permissions {
  /** Files and jobs belong to a tenant: the operator has none of its own. */
  readonly train: boolean;
  /** Splits, promotions and rollbacks. */
  readonly route: boolean;
  /** Promoting and beginning a canary without the gate, and taking a gate away. */
  readonly passGates: boolean;
  readonly limit: boolean;
  readonly setPrices: boolean;
  readonly createTenants: boolean;
  readonly eraseTenants: boolean;
  readonly keepKeys: boolean;
  readonly readAudit: boolean;
  readonly isOperator: boolean;
}

export function permissionsOf(api: ApiClient): Permissions {
  const { tenant, role } = api.session;
  const isOperator = tenant === null;
  const isWriter = role !== 'reader';
  return {
    train: isWriter && !isOperator,
    route: isWriter && !isOperator,
    passGates: role === 'admin' && !isOperator,
    limit: isOperator,
    setPrices: isOperator && api.offers('patch', '/api/prices'),
    createTenants: isOperator && api.offers('post', '/api/tenants'),
    eraseTenants: isOperator && api.offers('delete', '/api/tenants/{tenant}'),
    keepKeys: role === 'admin',
    readAudit: role === 'admin',
    isOperator,
  };
}
