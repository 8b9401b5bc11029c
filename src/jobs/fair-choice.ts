/** A job that could run now. */
export interface Candidate {
  readonly id: string;
  readonly tenant: string;
  /** The order of creation. */
  readonly seq: number;
}

/** What a tenant has had of the runners. */
export interface TenantShare {
  readonly numRunning: number;
  /** When a job of the tenant was last started, in milliseconds since 1970; null: never. */
  readonly lastStartedAt: number | null;
}

const NOTHING: TenantShare = { numRunning: 0, lastStartedAt: null };

/**
 * The job to run next: of the tenant that has the fewest running, then of the one that has waited longest for a turn, then its oldest.
 * Every tenant gets its turn: each start makes the others' waits the longer ones, however many jobs one of them has queued.
 */
export function chooseJob(
  candidates: readonly Candidate[],
  shares: ReadonlyMap<string, TenantShare>,
): Candidate | undefined {
  const key = ({ tenant, seq }: Candidate): readonly number[] => {
    const { numRunning, lastStartedAt } = shares.get(tenant) ?? NOTHING;
    return [numRunning, lastStartedAt ?? -1, seq];
  };
  return candidates.toSorted((a, b) => {
    const [left, right] = [key(a), key(b)];
    const at = left.findIndex((value, index) => value !== right[index]);
    return at < 0 ? 0 : left[at] - right[at];
  })[0];
}
