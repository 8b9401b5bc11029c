/** Keys, usage and audit: routes that a server may be without. */

export interface ApiKey {
  readonly id: string;
  readonly tenant: string | null;
  readonly role: 'admin' | 'writer' | 'reader';
  readonly name?: string;
  readonly project?: string | null;
  readonly hint?: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly revoked_at: number | null;
}

export interface NewApiKey extends ApiKey {
  /** The key itself: in this answer and nowhere else. */
  readonly secret: string;
}

export interface UsageLine {
  readonly tenant: string | null;
  readonly project: string | null;
  readonly adapter: string | null;
  readonly period: string | null;
  readonly requests: number;
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly completion_tokens: number;
  readonly training_tokens: number;
  readonly cost: number;
  readonly currency: string | null;
}

export interface UsageList {
  readonly from: string;
  readonly to: string;
  readonly data: readonly UsageLine[];
}

export interface AuditEntry {
  readonly seq: number;
  /** Seconds since 1970. */
  readonly at: number;
  readonly actor: string | null;
  readonly tenant: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly detail: Readonly<Record<string, unknown>> | string | null;
  readonly hash: string;
}
