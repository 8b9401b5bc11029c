import { fail, systemClock, type Clock } from '../base/index.ts';
import type {
  AnswerDelta,
  ChatRequest,
  ResolvedModel,
  Scheduling,
  Services,
  TenantErasure,
  TextRequest,
  Usage,
} from '../http/index.ts';
import { NO_LIMITS, Quotas, RateLimits, type Principal } from '../tenancy/index.ts';
import { makeAdapterServices, type LoadedAdapters } from './adapters/adapter-loading.ts';
import { makeCatalogueServices } from './adapters/catalogue.ts';
import { Asking } from './answering/asking.ts';
import { chatDeltas } from './answering/chat.ts';
import { classifyInputs } from './answering/classify.ts';
import { embedInputs } from './answering/embeddings.ts';
import { ModelResolver } from './answering/resolve.ts';
import { textDeltas } from './answering/text-completions.ts';
import type { AppConfig } from './config.ts';
import { eraseTenant, planErasure } from './governance/erasure.ts';
import { shadowOf, TenantWatch } from './governance/tenant-watch.ts';
import { makeAuditServices } from './governance/audit.ts';
import { makeKeyServices } from './governance/keys.ts';
import { makeUsageServices } from './governance/usage.ts';
import { LoadedNames } from './adapters/loaded-names.ts';
import { makeDeliveryServices } from './delivery/delivery-services.ts';
import type { DeliveryRuntime } from './delivery/runtime.ts';
import type { ServingMetrics } from './metrics/metrics.ts';
import type { Platform } from './platform.ts';
import type { ServedBase, ServedBases } from './served-bases.ts';
import { makeTaskServices } from './adapters/task-routes.ts';
import { makeTenantServices } from './tenants.ts';
import type { Tuning } from './tuning/tuning.ts';

/** Requests of one tenant at once, where it has no limit of its own. */
const DEFAULT_CONCURRENT = 64;
const MAX_CHOICES = 8;
/** As far below everybody's as a request can be. */
const SHADOW_SCHEDULING: Scheduling = { priority: -1_000_000, timeoutMs: null };
const SHADOW_WEIGHT = 0.001;

/** Composes registry, tenancy and the engines into what the HTTP face needs. @param clock of rates per minute */
export function makeServices(
  config: AppConfig,
  platform: Platform,
  bases: ServedBases,
  metrics: ServingMetrics,
  tuning: Pick<Tuning, 'data' | 'files' | 'jobs'>,
  delivery: DeliveryRuntime,
  clock: Clock,
): Services & { readonly watch: TenantWatch; readonly adapters: LoadedAdapters } {
  const { keys, tenants, usage } = platform;
  const quotas = new Quotas((tenant) => tenants.limitsOf(tenant).maxConcurrent, DEFAULT_CONCURRENT);
  const rates = new RateLimits((tenant) => tenants.limitsOf(tenant), clock);
  const unlimited = new RateLimits(() => NO_LIMITS, clock);
  const names = new LoadedNames();
  const resolver = new ModelResolver(platform, bases, names, (canary) => delivery.onUnserved(canary));
  const watch = new TenantWatch(platform, bases, names);

  /** Whatever comes of the request, what it has used is recorded at its end, and what it has not used is given back. */
  const begin = async (
    principal: Principal,
    model: ResolvedModel,
    scheduling: Scheduling,
    signal: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): Promise<Asking> => {
    const { tenant } = principal;
    const weight = tenant === null ? 1 : (tenants.limitsOf(tenant).weight ?? 1);
    requirePriority(tenant === null ? null : tenants.limitsOf(tenant).maxPriority, scheduling);
    const client = delivery.shadows.client();
    const adapter = await resolver.sourceOf(principal, model).catch((error: unknown) => {
      client[Symbol.dispose]();
      throw error;
    });
    return new Asking({ tenant, adapter, signal, scheduling, weight, rates, clock: systemClock }, (meter) => {
      client[Symbol.dispose]();
      onUsed(meter);
      metrics.onUsage(tenant, model.adapter?.digest ?? null, meter);
      if (tenant !== null) usage.add(tenant, model.adapter?.digest ?? null, meter, principal.project);
    });
  };
  /** A shadow's request costs its tenant nothing, goes after everything else, and shares no cache with what clients ask. */
  const beginShadow = async (principal: Principal, model: ResolvedModel, signal: AbortSignal): Promise<Asking> => {
    const adapter = await resolver.sourceOf(principal, model);
    const tenant = shadowOf(principal.tenant ?? '');
    const options = { tenant, adapter, signal, scheduling: SHADOW_SCHEDULING, weight: SHADOW_WEIGHT };
    return new Asking({ ...options, rates: unlimited, clock: systemClock }, () => undefined);
  };
  /** Answers by the deltas of `answer`, for a client and perhaps by a shadow too. */
  const answered = <Request extends ChatRequest | TextRequest>(
    answer: (base: ServedBase, asking: Asking, request: Request) => AsyncIterable<AnswerDelta>,
    principal: Principal,
    model: ResolvedModel,
    request: Request,
    signal: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): AsyncIterable<AnswerDelta> =>
    delivery.answer(model, request, {
      async *client(asked) {
        using asking = await begin(principal, model, asked.scheduling, signal, onUsed);
        yield* answer(bases.ofDigest(model.base.digest), asking, asked);
      },
      async *shadow(version, asked, ends) {
        const shadow = resolver.ofVersion(version);
        using asking = await beginShadow(principal, shadow, ends);
        yield* answer(bases.ofDigest(shadow.base.digest), asking, { ...asked, scheduling: SHADOW_SCHEDULING });
      },
    });
  const erase = async (actor: string, name: string, isDryRun: boolean): Promise<TenantErasure> => {
    if (isDryRun) return planErasure(config, platform, name);
    const report = await eraseTenant(config, platform, actor, name);
    await watch.look();
    return report;
  };
  return {
    maxChoices: MAX_CHOICES,
    adapters: makeAdapterServices({ platform, bases, names }),
    catalogue: makeCatalogueServices(platform),
    data: tuning.data,
    files: tuning.files,
    jobs: tuning.jobs,
    tasks: makeTaskServices(platform, delivery.promotions),
    delivery: makeDeliveryServices(platform, delivery.promotions, (version) => bases.has(version)),
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
    resolveModel: (principal, selection, requestId) => resolver.resolve(principal, selection, requestId),
    chat: (...asked) => answered(chatDeltas, ...asked),
    complete: (...asked) => answered(textDeltas, ...asked),
    embed: (principal, model, request, signal, onUsed) =>
      delivery.count(model, async () => {
        using asking = await begin(principal, model, request.scheduling, signal, onUsed);
        return await embedInputs(bases.ofDigest(model.base.digest), asking, request);
      }),
    classify: (principal, model, request, signal, onUsed) =>
      delivery.count(model, async () => {
        using asking = await begin(principal, model, request.scheduling, signal, onUsed);
        const version = model.adapter ? platform.registry.find(principal.tenant, model.adapter.reference) : undefined;
        return await classifyInputs(bases.ofDigest(model.base.digest), asking, request, version?.classes?.reads);
      }),
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
