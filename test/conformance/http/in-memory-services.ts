import { EspalierError, fail, Lease } from '../../../src/base/index.ts';
import type {
  AdapterServices,
  AnswerDelta,
  AnswerToken,
  AuditServices,
  CatalogueServices,
  ChatRequest,
  DataServices,
  DeliveryServices,
  Classifications,
  ClassifyRequest,
  EmbeddingRequest,
  Embeddings,
  FileServices,
  GenerationOptions,
  JobServices,
  KeyServices,
  LoadRequest,
  ModelEntry,
  ModelSelection,
  NamedResidence,
  ResolvedModel,
  Services,
  TaskServices,
  TenantServices,
  TextRequest,
  Usage,
  Unloaded,
  UsageServices,
} from '../../../src/http/index.ts';
import { NO_LIMITS } from '../../../src/tenancy/index.ts';
import type { Principal, RateState, Tenant, TenantLimits } from '../../../src/tenancy/index.ts';

export const OPERATOR_KEY = 'esp_operator';
export const ACME_KEY = 'esp_acme';
export const GLOBEX_KEY = 'esp_globex';
/** Of acme, for asking models only. */
export const READER_KEY = 'esp_acme_reader';
export const BASE = { name: 'tiny', digest: `sha256:${'b'.repeat(64)}` };
export const ACME_DIGEST = `sha256:${'a'.repeat(64)}`;

const TENANTS: Readonly<Record<string, string | null>> = {
  [OPERATOR_KEY]: null,
  [ACME_KEY]: 'acme',
  [GLOBEX_KEY]: 'globex',
  [READER_KEY]: 'acme',
};

/** What {@link EchoServices.chat} does in the midst of an answer. */
export interface Behaviour {
  /** Throws this instead of the delta with that number, from 0. */
  readonly failAt?: { readonly delta: number; readonly error: Error };
  /** Awaited before each delta. */
  readonly wait?: (signal: AbortSignal) => Promise<void>;
  /** Repeats the words for ever. */
  readonly isEndless?: boolean;
}

/** Keeps names and pretends that each adapter takes 100 bytes. */
export class EchoAdapters implements AdapterServices {
  readonly #names = new Map<string, LoadRequest>();

  async load({ tenant }: Principal, request: LoadRequest): Promise<void> {
    if (request.reference !== 'acme/spam') fail('ADAPTER_NOT_FOUND', `no adapter "${request.reference}"`);
    const key = `${tenant} ${request.name}`;
    if (this.#names.has(key) && !request.isInPlace) fail('REQUEST_INVALID', `${request.name} has already been loaded`);
    this.#names.set(key, request);
  }

  async unload({ tenant }: Principal, name: string): Promise<Unloaded> {
    if (!this.#names.delete(`${tenant} ${name}`)) fail('ADAPTER_NOT_FOUND', `${name} cannot be found`);
    return { digest: ACME_DIGEST, freedBytes: 100, inUseBytes: 0, sharedBytes: 0 };
  }

  async list({ tenant }: Principal, limit: number): Promise<NamedResidence[]> {
    const mine = [...this.#names].filter(([key]) => tenant === null || key.startsWith(`${tenant} `));
    return mine.slice(0, limit).map(([, { name }]) => ({
      digest: ACME_DIGEST,
      base: BASE.name,
      names: [name],
      state: 'ready',
      readyBytes: 100,
      hostBytes: 0,
      numLeases: 0,
      isPinned: true,
      lastUsedMs: 1_999,
    }));
  }

  async tiers(): ReturnType<AdapterServices['tiers']> {
    const tier = { count: 1, sizeBytes: 100, heldBytes: 0, budgetBytes: 1000, numEvicted: 2 };
    return { ready: tier, host: tier };
  }
}

const noFile = (): never => fail('STORED_FILE_NOT_FOUND', 'there are no files');
const noUpload = (): never => fail('UPLOAD_NOT_FOUND', 'there are no uploads');
const noJob = (): never => fail('JOB_NOT_FOUND', 'there are no jobs');
const noTask = (): never => fail('ADAPTER_NOT_FOUND', 'there are no tasks');
const nothing = () => ({ items: [], hasMore: false });

/** A tenant without files: those of the real store are tested with the real server. */
const NO_FILES: FileServices = {
  create: async () => fail('REQUEST_INVALID', 'nothing is stored here'),
  get: noFile,
  list: nothing,
  delete: noFile,
  content: noFile,
  createUpload: () => fail('REQUEST_INVALID', 'nothing is stored here'),
  addPart: async () => noUpload(),
  completeUpload: async () => noUpload(),
  cancelUpload: noUpload,
};
const NO_CATALOGUE: CatalogueServices = {
  list: () => [],
  show: noTask,
};
const NO_DATA: DataServices = { check: async () => noFile() };
const NO_TASKS: TaskServices = {
  list: () => [],
  get: noTask,
  setSplit: noTask,
  promote: async () => noTask(),
  rollback: noTask,
};
const NO_KEYS: KeyServices = {
  list: () => [],
  create: () => fail('REQUEST_INVALID', 'no key is made here'),
  revoke: () => fail('KEY_NOT_FOUND', 'there are no keys'),
};
/** What needs a task has none. */
const NO_DELIVERY: DeliveryServices = {
  setGate: async () => noTask(),
  removeGate: noTask,
  startCanary: async () => noTask(),
  canary: noTask,
  stopCanary: noTask,
  startShadow: noTask,
  shadowReport: noTask,
  stopShadow: noTask,
  events: noTask,
  score: () => fail('ANSWER_NOT_FOUND', 'there are no canaries'),
};
const NO_JOBS: JobServices = {
  create: noFile,
  get: noJob,
  list: nothing,
  command: noJob,
  events: noJob,
  checkpoints: noJob,
};
/** Acme and globex, with their limits. */
export class EchoTenants implements TenantServices {
  readonly #tenants = new Map(['acme', 'globex'].map((name) => [name, { name, ...NO_LIMITS, createdAt: 1_999 }]));

  list({ tenant }: Principal): Tenant[] {
    return [...this.#tenants.values()].filter(({ name }) => tenant === null || name === tenant);
  }

  show({ tenant: asking }: Principal, name: string): ReturnType<TenantServices['show']> {
    if (asking !== null && asking !== name) fail('TENANT_NOT_FOUND', `no tenant "${name}"`);
    const usage = {
      requestsInFlight: 1,
      requestsRemaining: null,
      tokensRemaining: 7,
      adapters: 2,
      adapterBytes: 300,
      requestsToday: 4,
      promptTokensToday: 5,
      completionTokensToday: 6,
    };
    return { tenant: this.#find(name), usage };
  }

  async erase(_: Principal, name: string) {
    return fail('TENANT_NOT_FOUND', `no tenant "${name}"`);
  }

  create(_: Principal, name: string): Tenant {
    return fail('TENANT_EXISTS', `tenant "${name}" exists already`);
  }

  change(_: Principal, name: string, limits: Partial<TenantLimits>): Tenant {
    const changed = { ...this.#find(name), ...limits };
    this.#tenants.set(name, changed);
    return changed;
  }

  #find(name: string): Tenant {
    return this.#tenants.get(name) ?? fail('TENANT_NOT_FOUND', `no tenant "${name}"`);
  }
}

/**
 * Services of one base that repeats the last message, word by word. Tenant acme has an adapter `acme/spam` that answers in capital
 * letters. Everything that the HTTP face must give back is counted.
 */
export class EchoServices implements Services {
  readonly maxChoices = 3;
  readonly adapters = new EchoAdapters();
  readonly catalogue = NO_CATALOGUE;
  readonly data = NO_DATA;
  readonly files = NO_FILES;
  readonly jobs = NO_JOBS;
  readonly tasks = NO_TASKS;
  readonly delivery = NO_DELIVERY;
  readonly tenants = new EchoTenants();
  readonly keys = NO_KEYS;
  readonly audit: AuditServices = { list: nothing };
  readonly usage: UsageServices = {
    bill: () => [],
    csv: () => '',
    prices: () => [],
    setPrices: () => fail('TENANT_NOT_FOUND', 'no tenants here'),
  };
  behaviour: Behaviour = {};
  /** Requests that a tenant may have in flight. */
  limit = 100;
  isUp = true;
  rateState: RateState | null = null;
  numAdmitted = 0;
  numAnswering = 0;
  numDeltas = 0;
  readonly requests: ChatRequest[] = [];
  readonly texts: TextRequest[] = [];
  readonly embeddings: EmbeddingRequest[] = [];
  readonly classifications: ClassifyRequest[] = [];
  readonly selections: ModelSelection[] = [];

  authenticate(key: string): Principal {
    const tenant = TENANTS[key];
    if (tenant === undefined) return fail('KEY_INVALID', 'the API key is not known here');
    const role = key === READER_KEY ? 'reader' : 'admin';
    return { tenant, role, keyId: `key_${tenant ?? 'operator'}` };
  }

  admit({ tenant }: Principal): Disposable {
    if (this.numAdmitted >= this.limit) fail('OVERLOADED', `${tenant} has ${this.numAdmitted} requests in flight`);
    this.numAdmitted++;
    return new Lease(tenant, () => this.numAdmitted--);
  }

  resolveModel({ tenant }: Principal, selection: ModelSelection): ResolvedModel {
    this.selections.push(selection);
    const { model, task } = selection;
    const isBase = model === BASE.name && task === null;
    if (isBase) return { modelName: BASE.name, base: BASE, adapter: null };
    const isSpam =
      ['acme/spam', 'acme/spam@1', ACME_DIGEST].includes(model) || (model === BASE.name && task === 'spam');
    if (isSpam && tenant === 'acme') {
      return { modelName: 'acme/spam@1', base: BASE, adapter: { digest: ACME_DIGEST, reference: 'acme/spam@1' } };
    }
    return fail('ADAPTER_NOT_FOUND', `no adapter "${model}"`, { param: 'model' });
  }

  chat(_: Principal, model: ResolvedModel, request: ChatRequest, signal: AbortSignal): AsyncGenerator<AnswerDelta> {
    this.requests.push(request);
    const prompt = { text: request.messages.at(-1)?.content ?? '', numTokens: request.messages.length };
    return this.#answer(model, [prompt], request, request.maxTokens, signal);
  }

  complete(_: Principal, model: ResolvedModel, request: TextRequest, signal: AbortSignal): AsyncGenerator<AnswerDelta> {
    this.texts.push(request);
    const prompts = request.prompts.map((prompt) => {
      const text = typeof prompt === 'string' ? prompt : String.fromCodePoint(...prompt);
      return { text, numTokens: prompt.length };
    });
    return this.#answer(model, prompts, request, request.maxTokens, signal);
  }

  /** A text's vector is its length and its first letter. */
  async embed(
    _: Principal,
    __: ResolvedModel,
    request: EmbeddingRequest,
    ___: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): Promise<Embeddings> {
    this.embeddings.push(request);
    onUsed({ promptTokens: request.inputs.length, completionTokens: 0, cachedTokens: 0 });
    const vectors = request.inputs.map((input) =>
      Float32Array.of(input.length, typeof input === 'string' ? (input.codePointAt(0) ?? 0) : input[0]),
    );
    return { vectors, promptTokens: request.inputs.length };
  }

  /** A text is long or short. */
  async classify(
    _: Principal,
    __: ResolvedModel,
    request: ClassifyRequest,
    ___: AbortSignal,
    onUsed: (usage: Usage) => void,
  ): Promise<Classifications> {
    this.classifications.push(request);
    onUsed({ promptTokens: request.inputs.length, completionTokens: 0, cachedTokens: 0 });
    const found = request.inputs.map((input) => {
      const isLong = 'messages' in Object(input) || (input as string).length > 3;
      return { label: isLong ? 'long' : 'short', probs: isLong ? [0.75, 0.25] : [0.25, 0.75] };
    });
    return { found, promptTokens: request.inputs.length };
  }

  async *#answer(
    model: ResolvedModel,
    prompts: readonly { readonly text: string; readonly numTokens: number }[],
    { numChoices, topLogprobs }: GenerationOptions,
    maxTokens: number | null,
    signal: AbortSignal,
  ): AsyncGenerator<AnswerDelta> {
    this.numAnswering++;
    try {
      let n = 0;
      const next = async (): Promise<void> => {
        await this.behaviour.wait?.(signal);
        if (signal.aborted) throw new EspalierError('CANCELLED', 'the request was cancelled');
        if (this.behaviour.failAt?.delta === n) throw this.behaviour.failAt.error;
        n++;
        this.numDeltas++;
      };
      for (const [prompt, { text, numTokens }] of prompts.entries()) {
        const words = (model.adapter ? text.toUpperCase() : text).split(/(?<= )/);
        const numWords = Math.min(words.length, maxTokens ?? Infinity);
        let offset = 0;
        for (let word = 0; this.behaviour.isEndless || word < numWords; word++) {
          // As an engine's tokens do, each word comes in its own turn of the event loop.
          await new Promise((resolve) => setImmediate(resolve));
          const said = words[word % words.length];
          const tokens = topLogprobs === null ? {} : { tokens: [tokenOf(said, offset, topLogprobs)] };
          for (let choice = 0; choice < numChoices; choice++) {
            await next();
            yield { index: prompt * numChoices + choice, text: said, ...tokens };
          }
          offset += said.length;
        }
        const usage = { promptTokens: numTokens, completionTokens: numWords, cachedTokens: 1 };
        const finishReason = numWords < words.length ? 'length' : 'stop';
        for (let choice = 0; choice < numChoices; choice++) {
          await next();
          yield { index: prompt * numChoices + choice, text: '', finishReason, usage, queuedMs: 250 };
        }
      }
    } finally {
      this.numAnswering--;
    }
  }

  listModels(principal: Principal): ModelEntry[] {
    const base = { id: BASE.name, created: 1, ownedBy: 'espalier', parent: null, classes: null };
    return principal.tenant === 'globex'
      ? [base]
      : [base, { id: 'acme/spam', created: 2, ownedBy: 'acme', parent: BASE.name, classes: null }];
  }

  showModel(principal: Principal, id: string): ModelEntry {
    const entry = this.listModels(principal).find((model) => model.id === id);
    return entry ?? fail('ADAPTER_NOT_FOUND', `no adapter "${id}"`, { param: 'model' });
  }

  metricsText(): string {
    return '# TYPE espalier_engine_steps_total counter\nespalier_engine_steps_total 3\n';
  }

  bases(): { readonly name: string; readonly isReady: boolean }[] {
    return [{ name: BASE.name, isReady: this.isUp }];
  }

  rates(): RateState | null {
    return this.rateState;
  }
}

/** A word as a token: certain, but for alternatives that are each half as likely as the one before. */
function tokenOf(word: string, offset: number, numTop: number): AnswerToken {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const top = Array.from({ length: numTop }, (_, n) => ({
    bytes: bytes(word + '!'.repeat(n)),
    logprob: -n * Math.LN2,
  }));
  return { bytes: bytes(word), logprob: 0, top, offset };
}
