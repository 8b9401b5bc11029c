import { fail, systemClock, type Clock } from '../base/index.ts';
import type { AnswerDelta, ResolvedModel, Scheduling, Services } from '../http/index.ts';
import { Quotas, RateLimits, type Principal } from '../tenancy/index.ts';
import { makeAdapterServices } from './adapters/adapter-loading.ts';
import { Asking } from './answering/asking.ts';
import { chatDeltas } from './answering/chat.ts';
import { embedInputs } from './answering/embeddings.ts';
import { ModelResolver } from './answering/resolve.ts';
import { textDeltas } from './answering/text-completions.ts';
import type { AppConfig } from './config.ts';
import { eraseTenant, planErasure, type ErasureReport } from './governance/erasure.ts';
import { TenantWatch } from './governance/tenant-watch.ts';
import { makeAuditServices } from './governance/audit.ts';
import { makeKeyServices } from './governance/keys.ts';
import { makeUsageServices } from './governance/usage.ts';
import { LoadedNames } from './adapters/loaded-names.ts';
import type { ServingMetrics } from './metrics/metrics.ts';
import type { Platform } from './platform.ts';
import type { ServedBases } from './served-bases.ts';
import { makeTaskServices } from './adapters/task-routes.ts';
import { makeTenantServices } from './tenants.ts';
import type { Tuning } from './tuning/tuning.ts';

/** Requests of one tenant at once, where it has no limit of its own. */
const DEFAULT_CONCURRENT = 64;
const MAX_CHOICES = 8;

/** Composes registry, tenancy and the engines into what the HTTP face needs. @param clock of rates per minute */
export function makeServices(
  config: AppConfig,
  platform: Platform,
  bases: ServedBases,
  metrics: ServingMetrics,
  tuning: Pick<Tuning, 'files' | 'jobs'>,
  clock: Clock,
): Services & { readonly watch: TenantWatch } {
  const { keys, tenants, usage } = platform;
  const quotas = new Quotas((tenant) => tenants.limitsOf(tenant).maxConcurrent, DEFAULT_CONCURRENT);
  const rates = new RateLimits((tenant) => tenants.limitsOf(tenant), clock);
  const names = new LoadedNames();
  const resolver = new ModelResolver(platform, bases, names);
  const watch = new TenantWatch(platform, bases, names);

  /** Whatever comes of the request, what it has used is recorded at its end, and what it has not used is given back. */
  const begin = async (
    principal: Principal,
    model: ResolvedModel,
    scheduling: Scheduling,
    signal: AbortSignal,
  ): Promise<Asking> => {
    const { tenant } = principal;
    const weight = tenant === null ? 1 : (tenants.limitsOf(tenant).weight ?? 1);
    requirePriority(tenant === null ? null : tenants.limitsOf(tenant).maxPriority, scheduling);
    const adapter = await resolver.sourceOf(principal, model);
    return new Asking({ tenant, adapter, signal, scheduling, weight, rates, clock: systemClock }, (meter) => {
      metrics.onUsage(tenant, model.adapter?.digest ?? null, meter);
      if (tenant !== null) usage.add(tenant, model.adapter?.digest ?? null, meter, principal.project);
    });
  };
  const erase = async (actor: string, name: string, isDryRun: boolean): Promise<ErasureReport> => {
    if (isDryRun) return planErasure(config, platform, name);
    const report = await eraseTenant(config, platform, actor, name);
    await watch.look();
    return report;
  };
  return {
    maxChoices: MAX_CHOICES,
    adapters: makeAdapterServices({ platform, bases, names }),
    files: tuning.files,
    jobs: tuning.jobs,
    tasks: makeTaskServices(platform),
    tenants: makeTenantServices(platform, quotas, rates, erase),
    keys: makeKeyServices(platform),
    audit: makeAuditServices(platform.audit),
    usage: makeUsageServices(platform),
    watch,
    authenticate(key) {
      const principal = keys.authenticate(key);
      if (principal.tenant !== null) watch.see(principal.tenant);
      return principal;
    },
    admit({ tenant }) {
      const admission = quotas.admit(tenant);
      try {
        rates.takeRequest(tenant);
      } catch (error) {
        admission[Symbol.dispose]();
        throw error;
      }
      return admission;
    },
    rates: ({ tenant }) => rates.state(tenant),
    resolveModel: (principal, selection) => resolver.resolve(principal, selection),
    async *chat(principal, model, request, signal): AsyncGenerator<AnswerDelta, void, undefined> {
      using asking = await begin(principal, model, request.scheduling, signal);
      yield* chatDeltas(bases.ofDigest(model.base.digest), asking, request);
    },
    async *complete(principal, model, request, signal): AsyncGenerator<AnswerDelta, void, undefined> {
      using asking = await begin(principal, model, request.scheduling, signal);
      yield* textDeltas(bases.ofDigest(model.base.digest), asking, request);
    },
    async embed(principal, model, request, signal) {
      using asking = await begin(principal, model, request.scheduling, signal);
      return await embedInputs(bases.ofDigest(model.base.digest), asking, request);
    },
    listModels: (principal) => resolver.list(principal),
    showModel: (principal, id) => resolver.show(principal, id),
    async metricsText() {
      const alive = bases.all.filter(({ engine }) => engine.isAlive);
      return metrics.text(
        await Promise.all(alive.map(async ({ name, engine }) => ({ base: name, stats: await engine.stats() }))),
      );
    },
    bases: () => bases.all.map(({ name, engine }) => ({ name, isReady: engine.isAlive })),
  };
}

/** @throws REQUEST_INVALID the request is more urgent than the tenant's requests may be */
function requirePriority(maxPriority: number | null, { priority }: Scheduling): void {
  if (maxPriority === null || priority <= maxPriority) return;
  const message = `priority is ${-priority}, and at least ${-maxPriority || 0} is what this key’s tenant may ask`;
  fail('REQUEST_INVALID', message, { param: 'priority' });
}
