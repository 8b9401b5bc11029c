/**
 * The table of `access-matrix.test.ts`: a request to each route about tenant acme's things, and the status for each kind of key.
 * Rows are asked in this order, and within a row the kinds in theirs: what one has changed, the next one finds.
 */

export const KINDS = [
  'none',
  'wrong',
  'expired',
  'revoked',
  // An admin of tenant globex, then acme's own keys, then the operator.
  'other',
  'reader',
  'writer',
  'admin',
  'operator',
] as const;
export type Kind = (typeof KINDS)[number];
type Statuses = Readonly<Record<Kind, number>>;

/** A request about acme's things. */
export interface Row {
  readonly method: string;
  /** As in the server's own description. */
  readonly route: string;
  readonly path: string;
  readonly body?: object;
  readonly statuses: Statuses;
}

export const hello = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 1 };

/** What is in a route's braces, where the row names no path. Ids of what acme has are put in when it is there. */
const THINGS = {
  model: 'acme/reply',
  tenant: 'acme',
  task: 'only',
  key_id: 'acme-key',
  file_id: 'acme-file',
  upload_id: 'acme-upload',
  fine_tuning_job_id: 'acme-job',
};

/** `row('GET /v1/models', anyKey())` */
function row(request: string, statuses: Statuses, { path, body }: { path?: string; body?: object } = {}): Row {
  const [method, route] = request.split(' ');
  const filled = route.replaceAll(/\{(\w+)\}/g, (brace, name: keyof typeof THINGS) => THINGS[name] ?? brace);
  return { method, route, path: path ?? filled, ...(body && { body }), statuses };
}

const NOBODY = { none: 401, wrong: 401, expired: 401, revoked: 401 };
const HIDDEN = 404;
const DENIED = 403;

/** Who is answered `answer` (200 if nothing is said), and the kinds that are answered otherwise. */
type Answers = Partial<Statuses> & { readonly answer?: number };
const known =
  (shut: Partial<Statuses>) =>
  ({ answer = 200, ...otherwise }: Answers = {}): Statuses => ({
    ...NOBODY,
    other: answer,
    reader: answer,
    writer: answer,
    admin: answer,
    operator: answer,
    ...shut,
    ...otherwise,
  });

/** What asks about a key's own tenant: another tenant is answered with its own. */
const anyKey = known({});
const anyWriter = known({ reader: DENIED });
const anyAdmin = known({ reader: DENIED, writer: DENIED });
/** What asks about acme's: to another tenant it is not there. */
const acmeReader = known({ other: HIDDEN });
const acmeWriter = known({ other: HIDDEN, reader: DENIED });
const acmeAdmin = known({ other: HIDDEN, reader: DENIED, writer: DENIED });
const operatorOnly = known({ other: DENIED, reader: DENIED, writer: DENIED, admin: DENIED });
const everyone: Statuses = { ...known({})(), none: 200, wrong: 200, expired: 200, revoked: 200 };

/** Files, uploads, jobs and tasks are a tenant's: an operator's key has none of its own. */
const NO_TENANT = { operator: 400 };
/** The writer's request does it, so that there is nothing left to do for the admin. */
const DONE_BY_WRITER = { admin: 400, operator: 400 };
const GONE_BY_WRITER = { admin: 404 };

const SERVER: readonly Row[] = [
  row('GET /healthz', everyone),
  row('GET /readyz', everyone),
  row('GET /openapi.json', everyone),
  // The server listens on this machine only, so that no key is needed; a key that is sent counts.
  row('GET /metrics', operatorOnly({ none: 200 })),
];

const ANSWERS: readonly Row[] = [
  row('GET /v1/models', anyKey()),
  row('GET /v1/models/{model}', acmeReader()),
  row('POST /v1/chat/completions', acmeReader(), { body: { model: 'acme/reply', ...hello } }),
  row('POST /v1/completions', acmeReader(), { body: { model: 'acme/reply', prompt: 'hello', max_tokens: 1 } }),
  row('POST /v1/embeddings', acmeReader(), { body: { model: 'acme/reply', input: 'hello' } }),
  // The adapter is no classifier: those who may ask it are told so.
  row('POST /v1/classify', acmeReader({ answer: 400, other: HIDDEN }), {
    body: { model: 'acme/reply', input: 'hello' },
  }),
];

const LOADED_ADAPTERS: readonly Row[] = [
  row('POST /v1/load_lora_adapter', acmeWriter(), {
    body: { lora_name: 'mine', lora_path: 'acme/reply', load_inplace: true },
  }),
  row('GET /v1/lora_adapters', anyKey()),
  // The operator has a name of its own.
  row('POST /v1/unload_lora_adapter', acmeWriter(GONE_BY_WRITER), { body: { lora_name: 'mine' } }),
  row('DELETE /v1/lora_adapters/{name}', acmeWriter({ answer: 404 }), { path: '/v1/lora_adapters/mine' }),
];

const GOVERNANCE: readonly Row[] = [
  row('GET /api/tenants', anyKey()),
  row('GET /api/tenants/{tenant}', acmeReader()),
  row('PATCH /api/tenants/{tenant}', operatorOnly(), { body: { weight: 1 } }),
  row('POST /api/tenants', operatorOnly({ answer: 409 }), { body: { name: 'globex' } }),
  row('DELETE /api/tenants/{tenant}', operatorOnly(), { path: '/api/tenants/acme?erase=true&dry_run=true' }),
  row('GET /api/keys', anyAdmin()),
  row('POST /api/keys', acmeAdmin(), { body: { tenant: 'acme', role: 'reader' } }),
  row('DELETE /api/keys/{key_id}', acmeAdmin()),
  row('GET /api/usage', anyKey()),
  row('GET /api/prices', anyKey()),
  row('PATCH /api/prices', operatorOnly(), { body: { tenant: 'acme', prompt: 1 } }),
  row('GET /api/audit', anyAdmin()),
  row('GET /api/session', anyKey()),
  row('GET /api/traffic', anyKey()),
];

const CATALOGUE: readonly Row[] = [
  row('GET /api/adapters', acmeReader(), { path: '/api/adapters?tenant=acme' }),
  row('GET /api/adapters/{name}', acmeReader(), { path: '/api/adapters/acme/reply' }),
  row('POST /api/data/check', acmeWriter(), { body: { file: 'acme-file', model: 'tiny' } }),
];

const FILES: readonly Row[] = [
  row('GET /v1/files', anyKey()),
  row('GET /v1/files/{file_id}', acmeReader()),
  row('GET /v1/files/{file_id}/content', acmeWriter()),
  // No multipart form.
  row('POST /v1/files', anyWriter({ answer: 415 }), { body: {} }),
  row('POST /v1/uploads', anyWriter(NO_TENANT), {
    body: { bytes: 2, filename: 'a.jsonl', mime_type: 'text/jsonl', purpose: 'fine-tune' },
  }),
  row('POST /v1/uploads/{upload_id}/parts', anyWriter({ answer: 415 }), { body: {} }),
  // No parts: refused before anyone's upload is looked for.
  row('POST /v1/uploads/{upload_id}/complete', anyWriter({ answer: 400 }), { body: { part_ids: [] } }),
  row('POST /v1/uploads/{upload_id}/cancel', acmeWriter(DONE_BY_WRITER)),
];

const JOBS: readonly Row[] = [
  row('POST /v1/fine_tuning/jobs', acmeWriter(NO_TENANT), { body: { model: 'tiny', training_file: 'acme-file' } }),
  row('GET /v1/fine_tuning/jobs', anyKey()),
  row('GET /v1/fine_tuning/jobs/{fine_tuning_job_id}', acmeReader()),
  row('GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/events', acmeReader()),
  row('GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints', acmeReader()),
  row('POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/pause', acmeWriter(DONE_BY_WRITER)),
  row('POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/resume', acmeWriter(DONE_BY_WRITER)),
  row('POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel', acmeWriter(DONE_BY_WRITER)),
];

const DELIVERY: readonly Row[] = [
  row('GET /api/routes', anyKey(NO_TENANT)),
  row('GET /api/routes/{task}', acmeReader(NO_TENANT)),
  row('POST /api/routes/{task}', acmeWriter(NO_TENANT), { body: { split: [{ version: '1', weight: 1 }] } }),
  row('POST /api/routes/{task}/promote', acmeWriter(NO_TENANT), { body: { version: 1 } }),
  // Nothing answered before.
  row('POST /api/routes/{task}/rollback', acmeWriter({ answer: 400 }), { body: {} }),
  row('POST /api/routes/{task}/gate', acmeWriter(NO_TENANT), {
    body: { file: 'acme-file', metric: 'loss', threshold: 100 },
  }),
  row('DELETE /api/routes/{task}/gate', acmeAdmin(NO_TENANT)),
  // What the writer starts is there when the admin comes, and what it stops is not.
  row('POST /api/routes/{task}/canary', acmeWriter(DONE_BY_WRITER), { body: { version: 1, share: 0.5 } }),
  row('GET /api/routes/{task}/canary', acmeReader(NO_TENANT)),
  row('DELETE /api/routes/{task}/canary', acmeWriter({ ...GONE_BY_WRITER, ...NO_TENANT })),
  row('POST /api/routes/{task}/shadow', acmeWriter(DONE_BY_WRITER), { body: { version: 1 } }),
  row('GET /api/routes/{task}/shadow', acmeReader(NO_TENANT)),
  row('DELETE /api/routes/{task}/shadow', acmeWriter({ ...GONE_BY_WRITER, ...NO_TENANT })),
  row('GET /api/routes/{task}/events', acmeReader(NO_TENANT)),
  // No canary was on when it was given.
  row('POST /api/feedback', acmeReader({ answer: 404, ...NO_TENANT }), { body: { request_id: 'none', score: 1 } }),
];

/** The last one takes away what those before it ask for. */
const LAST: readonly Row[] = [row('DELETE /v1/files/{file_id}', acmeWriter({ admin: 404, operator: 404 }))];

export const ROWS: readonly Row[] = [
  ...SERVER,
  ...ANSWERS,
  ...LOADED_ADAPTERS,
  ...GOVERNANCE,
  ...CATALOGUE,
  ...FILES,
  ...JOBS,
  ...DELIVERY,
  ...LAST,
];
