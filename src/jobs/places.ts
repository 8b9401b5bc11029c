import type { Job } from './job.ts';

/** What one training process works on: a job alone, or jobs that share it. */
export interface Place {
  /** What the jobs have in common that may share it; null: it is one job's alone. */
  readonly key: string | null;
  readonly jobs: readonly Pick<Job, 'id' | 'tenant'>[];
}

export interface PlaceLimits {
  /** Places at once. */
  readonly maxPlaces: number;
  /** Jobs that share one; 1: every job has its own. */
  readonly maxTogether: number;
}

/** A place while it is being filled. */
interface OpenPlace extends Place {
  readonly jobs: Pick<Job, 'id' | 'tenant'>[];
}

/**
 * The places where jobs are trained. A job goes where others with its key are, as long as there is room. No tenant has all seats of a place, so
 * that another need not wait until a whole group of the first one's jobs has ended.
 */
export class Places {
  readonly #limits: PlaceLimits;
  readonly #places = new Set<OpenPlace>();

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  /** @param key what its jobs may share a place by; null: the job is to be alone */
  hasRoom(job: Pick<Job, 'tenant'>, key: string | null): boolean {
    return this.#shared(job, key) !== undefined || this.#places.size < this.#limits.maxPlaces;
  }

  /** @returns undefined where {@link hasRoom} is false */
  enter({ id, tenant }: Pick<Job, 'id' | 'tenant'>, key: string | null): Place | undefined {
    if (!this.hasRoom({ tenant }, key)) return undefined;
    const isShared = key !== null && this.#limits.maxTogether > 1;
    const place = this.#shared({ tenant }, key) ?? { key: isShared ? key : null, jobs: [] };
    place.jobs.push({ id, tenant });
    this.#places.add(place);
    return place;
  }

  /** @returns whether the place is empty now, and so no longer one */
  leave(place: Place, id: string): boolean {
    const open = [...this.#places].find((one) => one === place);
    if (!open) return false;
    const index = open.jobs.findIndex((job) => job.id === id);
    if (index >= 0) open.jobs.splice(index, 1);
    return open.jobs.length === 0 && this.#places.delete(open);
  }

  #shared({ tenant }: Pick<Job, 'tenant'>, key: string | null): OpenPlace | undefined {
    if (key === null) return undefined;
    return [...this.#places].find(({ key: found, jobs }) => {
      const { maxTogether } = this.#limits;
      const numOwn = jobs.filter((job) => job.tenant === tenant).length;
      return found === key && jobs.length < maxTogether && numOwn < maxTogether - 1;
    });
  }
}
